"""Leaving out what a later event replaced changes nothing of where a run stands."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.benchmarks.rows import BenchRow, RowCase
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    StageChanged,
    WarmupProgressed,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.runs.journal import JournalEntry, JournalReader
from pixart_tui.runs.snapshot import RunSnapshot
from tests.runs.builders import measured, planned

_LABELS = ("none", 'a "quoted" \\ one', "compile")


def _row(label: str, seed: int) -> BenchRow:
    case = RowCase(
        label=label,
        model="m",
        height=8,
        width=8,
        steps=2,
        compiler="none",
        dtype="float32",
        peak_kind="process",
        seed=seed,
    )
    return BenchRow(case=case)


def _plan() -> BenchPlanned:
    rows = tuple(_row(label, 0) for label in _LABELS)
    return BenchPlanned(machine=planned("a").machine, versions={}, rows=rows)


_EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(StageChanged, stage=st.sampled_from(["loading", "measuring"]), detail=st.text()),
    st.builds(
        lambda label, seed: BenchRowUpdated(row=_row(label, seed)),
        st.sampled_from(_LABELS),
        st.integers(0, 99),
    ),
    st.builds(
        lambda label, elapsed_s: WarmupProgressed(
            label=label, warmup=Warmup(cached=False, regions=(), elapsed_s=elapsed_s)
        ),
        st.sampled_from(_LABELS),
        st.floats(0, 9),
    ),
    st.builds(AttemptStarted, attempt=st.integers(1, 3)),
    st.just(AttemptFinished(state="failed")),
    st.just(measured("a")),
    st.builds(_plan),
)


@given(st.lists(_EVENTS, max_size=40))
def test_the_fold_ends_in_the_same_state(events: list[Event]) -> None:
    entries = [JournalEntry(t=float(t), event=event) for t, event in enumerate(events)]
    whole, latest = RunSnapshot(), RunSnapshot()
    for entry in entries:
        whole.apply(entry)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "events.jsonl"
        path.write_text("".join(f"{entry.model_dump_json()}\n" for entry in entries))
        for entry in JournalReader(path, latest_only=True).poll():
            latest.apply(entry)

    for field in fields(RunSnapshot):
        assert getattr(latest, field.name) == getattr(whole, field.name), field.name
    assert latest.worked_s == whole.worked_s


def test_replaced_lines_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events: list[Event] = [AttemptStarted(attempt=1)]
    events += [StageChanged(stage=Stage.MEASURING, done=done) for done in range(50)]
    events += [BenchRowUpdated(row=_row(label, seed)) for seed in range(9) for label in _LABELS]
    lines = [JournalEntry(t=0.0, event=event).model_dump_json() for event in events]
    path.write_text("\n".join(lines) + "\n")
    found = [entry.event for entry in JournalReader(path, latest_only=True).poll()]

    last_rows = [BenchRowUpdated(row=_row(label, 8)) for label in _LABELS]
    first, last = (StageChanged(stage=Stage.MEASURING, done=done) for done in (0, 49))
    assert found == [events[0], first, last, *last_rows]


def test_a_newer_version_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = JournalEntry(t=0.0, event=StageChanged(stage=Stage.LOADING)).model_dump_json()
    newer = line.replace('{"v":1', '{"v":2')
    path.write_text(f"{line}\n{newer}\n")
    reader = JournalReader(path, latest_only=True)

    assert [entry.event for entry in reader.poll()] == [StageChanged(stage=Stage.LOADING)]
    assert reader.unreadable == 1
