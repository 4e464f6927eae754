from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import Event, LayerMeasured, StageChanged
from pixart_tui.runs.journal import JournalReader, JournalWriter, read_journal
from tests.samples import measurement

_EVENTS = st.lists(
    st.builds(StageChanged, stage=st.text(max_size=8), detail=st.text(max_size=8))
    | st.builds(
        lambda fqn, ssim: LayerMeasured(
            layer=fqn, measurements=(measurement(fqn, ssim),), elapsed_s=1.0
        ),
        st.sampled_from(["a", "b"]),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=6,
)


def _write(path: Path, events: list[Event]) -> None:
    with JournalWriter(path) as journal:
        for event in events:
            journal.append(event)


@given(_EVENTS)
def test_what_is_appended_is_read_back_in_order(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        _write(path, events)
        assert [entry.event for entry in read_journal(path)] == events


@given(_EVENTS, st.floats(0, 1))
def test_cutting_the_file_anywhere_loses_only_what_was_cut(
    events: list[Event], share: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        _write(path, events)
        content = path.read_bytes()
        cut = int(share * len(content))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert [entry.event for entry in read_journal(path)] == events[:whole]


@given(_EVENTS, st.floats(0, 1))
def test_a_writer_after_a_torn_line_loses_nothing_else(events: list[Event], share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        _write(path, events)
        content = path.read_bytes()
        cut = int(share * len(content))
        path.write_bytes(content[:cut])
        _write(path, [StageChanged(stage="resumed")])
        # A cut right before a newline leaves a whole event, which the writer completes.
        kept = [entry.event for entry in read_journal(path)]
        assert kept[-1] == StageChanged(stage="resumed")
        assert kept[:-1] in (events[: content[:cut].count(b"\n")], events[: len(kept) - 1])


def test_a_reader_returns_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = JournalReader(path)
    assert reader.poll() == []
    _write(path, [StageChanged(stage="one")])
    assert [e.event for e in reader.poll()] == [StageChanged(stage="one")]
    assert reader.poll() == []
    _write(path, [StageChanged(stage="two")])
    assert [e.event for e in reader.poll()] == [StageChanged(stage="two")]


def test_a_reader_begins_anew_where_another_journal_took_the_place(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = JournalReader(path)
    _write(path, [StageChanged(stage="one"), StageChanged(stage="two")])
    assert len(reader.poll()) == 2
    path.unlink()
    assert reader.poll() == []
    _write(path, [StageChanged(stage="three")])
    assert [e.event for e in reader.poll()] == [StageChanged(stage="three")]
    assert reader.restarts == 1


def test_a_writer_whose_journal_was_removed_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with JournalWriter(path) as journal:
        journal.append(StageChanged(stage="one"))
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(WorkError, match="was removed while the run worked"):
            journal.append(StageChanged(stage="two"))
        path.write_text("")
        with pytest.raises(WorkError, match="was removed"):
            journal.check()
    assert len(read_journal(tmp_path / "elsewhere")) == 1


def test_a_line_in_the_making_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _write(path, [StageChanged(stage="one")])
    line = path.read_bytes()
    path.write_bytes(line[:10])
    reader = JournalReader(path)
    assert reader.poll() == []
    path.write_bytes(line)
    assert len(reader.poll()) == 1
    assert reader.unreadable == 0


def test_damaged_and_newer_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _write(path, [StageChanged(stage="one")])
    newer = json.loads(path.read_text()) | {"v": 99}
    unknown = json.loads(path.read_text())
    unknown["event"]["type"] = "from_the_future"
    with path.open("a") as file:
        file.write("\x00\x01 not json\n" + json.dumps(newer) + "\n" + json.dumps(unknown) + "\n")
    _write(path, [StageChanged(stage="two")])
    reader = JournalReader(path)
    assert [e.event for e in reader.poll()] == [
        StageChanged(stage="one"),
        StageChanged(stage="two"),
    ]
    assert reader.unreadable == 3


@pytest.mark.parametrize("length", [1, 100, 128 * 1024, 300 * 1024])
def test_lines_of_every_length_are_read_to_the_end(tmp_path: Path, length: int) -> None:
    path = tmp_path / "events.jsonl"
    events = [StageChanged(stage="long", detail=letter * length) for letter in "abc"]
    _write(path, list(events))
    assert [entry.event for entry in read_journal(path)] == events


def test_what_is_behind_many_lines_that_nobody_knows_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    unknown = json.dumps({"v": 99, "t": 1.0, "event": {"type": "new", "text": "x" * 1000}})
    path.write_text(f"{unknown}\n" * 400)
    _write(path, [StageChanged(stage="known")])
    reader = JournalReader(path)
    assert [entry.event for entry in reader.poll()] == [StageChanged(stage="known")]
    assert reader.unreadable == 400


def test_a_full_disk_is_an_error_with_a_way_out() -> None:
    with JournalWriter(Path("/dev/full")) as journal, pytest.raises(WorkError) as caught:
        journal.append(StageChanged(stage="one"))
    assert "No space left" in caught.value.cause
    assert "resume" in caught.value.next_step


def test_after_a_cut_off_line_the_same_writer_begins_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = (
        "import sys, pathlib, signal, resource\n"
        "from pixart_tui.domain.events import StageChanged\n"
        "from pixart_tui.runs.journal import JournalWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal = JournalWriter(pathlib.Path(sys.argv[1]))\n"
        "journal.append(StageChanged(stage='one'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))\n"
        "try:\n    journal.append(StageChanged(stage='two', detail='x' * 500))\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))\n"
        "journal.append(StageChanged(stage='three'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "WorkError\n"
    assert [e.event for e in read_journal(path)] == [
        StageChanged(stage="one"),
        StageChanged(stage="three"),
    ]
