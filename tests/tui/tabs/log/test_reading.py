"""Parts of a log: whole lines, from either end, however long the log is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixart_tui.tui.tabs.log import reading
from pixart_tui.tui.tabs.log.reading import (
    LogPart,
    find,
    read_around,
    read_earlier,
    read_more,
    read_tail,
)

_LINES = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART_BYTES", 128)
    monkeypatch.setattr(reading, "_SCAN_BYTES", 100)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_LINES, ended=st.booleans())
def test_paging_backwards_reads_every_line_once(
    small_parts: None, tmp_path: Path, lines: list[str], ended: bool
) -> None:
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + ("\n" if lines and ended else ""))
    part = read_tail(path)
    while part.start > 0:
        earlier = read_earlier(path, part)
        assert earlier.start < part.start
        part = earlier

    expected = lines if ended or not lines or lines[-1] else lines[:-1]
    assert [line.text for line in part.lines] == expected
    assert part.is_last


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_LINES)
def test_following_reads_what_is_appended_in_any_pieces(
    small_parts: None, tmp_path: Path, lines: list[str]
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    part = LogPart()
    for text in lines:
        for piece in (text[:7], text[7:] + "\n"):
            with path.open("a") as file:
                file.write(piece)
            part = read_more(path, part)

    assert [line.text for line in part.lines] == lines
    assert all(before.offset < after.offset for before, after in pairwise(part.lines))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.sampled_from(["Step one", "nothing here", "", "two STEPS"]), max_size=60))
def test_search_finds_every_line_that_holds_the_text_in_both_directions(
    small_parts: None, tmp_path: Path, lines: list[str]
) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{text}\n" for text in lines))
    begins = [sum(len(text) + 1 for text in lines[:index]) for index in range(len(lines))]
    expected = [at for at, text in zip(begins, lines, strict=True) if "step" in text.lower()]

    assert _all_found(path) == expected
    assert _all_found(path, backwards=True) == expected[::-1]


def _all_found(path: Path, *, backwards: bool = False) -> list[int]:
    places: list[int] = []
    at = path.stat().st_size if backwards else 0
    while (found := find(path, "step", at, backwards=backwards)) is not None:
        places.append(found)
        at = found if backwards else found + 1
    return places


def test_a_long_log_is_read_from_its_end_and_no_more_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = b"a line of a log that is a hundred megabytes long, more or less, as logs are at times\n"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(line * (2**20 // len(line)))
        file.write(b"the last line\n")

    part = read_tail(path)

    assert part.size > 99 * 2**20
    assert part.end - part.start <= reading.PART_BYTES
    assert part.lines[-1].text == "the last line"
    assert find(path, "the last", 0) == part.lines[-1].offset


def test_a_part_stays_small_however_far_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_LINES", 50)
    monkeypatch.setattr(reading, "PART_BYTES", 400)
    path = tmp_path / "log"
    path.write_text("".join(f"line {number:03}\n" for number in range(300)))
    part = read_tail(path)
    while part.start > 0:
        part = read_earlier(path, part)
        assert len(part.lines) <= 50
    assert part.lines[0].text == "line 000"
    assert not part.is_last
    while not part.is_last:
        part = read_more(path, part)
        assert len(part.lines) <= 50
    assert part.lines[-1].text == "line 299"


def test_a_progress_bar_of_megabytes_is_its_last_state(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"begin\n" + b"".join(b"\r%6d/100000" % n for n in range(100_000)))
    part = read_tail(path)
    assert part.lines[-1].text.strip() == "99999/100000"

    with path.open("ab") as file:
        file.write(b"\r100000/100000\nend\n")
    part = read_tail(path)
    assert [line.text for line in part.lines[-2:]] == ["100000/100000", "end"]


def test_a_log_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n" * 100)
    part = read_tail(path)
    path.write_text("new\n")

    assert [line.text for line in read_more(path, part).lines] == ["new"]


def test_the_place_of_a_match_is_read_with_what_is_around_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number:06}\n" for number in range(100_000)))
    offset = find(path, "line 050000", 0)
    assert offset is not None
    texts = [line.text for line in read_around(path, offset).lines]

    assert {"line 049990", "line 050000", "line 050010"} <= set(texts)


def test_text_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")

    assert find(path, "three", 0) is None
    assert find(path, "one", 0, backwards=True) is None
