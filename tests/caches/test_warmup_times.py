from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.caches.warmup_times import WarmupTimes
from tests.caches.cache_samples import KIND

_TIMES = WarmupTimes(KIND)


def test_the_last_time_is_the_estimate() -> None:
    assert _TIMES.of("alpha cold") == {}
    assert _TIMES.store("alpha cold", {"transformer": 9.0}) == ""
    assert _TIMES.store("alpha cold", {"transformer": 7.0}) == ""
    assert _TIMES.store("alpha cached", {"transformer": 1.0}) == ""
    assert _TIMES.of("alpha cold") == {"transformer": 7.0}
    assert _TIMES.of("alpha cached") == {"transformer": 1.0}


def test_other_versions_have_times_of_their_own() -> None:
    _TIMES.store("alpha", {"transformer": 9.0})
    newer = KIND.replace(versions=KIND.versions | {"torch": "2.13.0"})
    assert WarmupTimes(newer).of("alpha") == {}


@pytest.mark.parametrize("text", ["", "{", '{"seconds": 3}'])
def test_a_damaged_file_holds_nothing_and_is_replaced(text: str) -> None:
    _TIMES.path.parent.mkdir(parents=True)
    _TIMES.path.write_text(text)
    assert _TIMES.of("alpha") == {}
    _TIMES.store("alpha", {"transformer": 9.0})
    assert _TIMES.of("alpha") == {"transformer": 9.0}


def test_times_that_cannot_be_kept_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "file"))
    assert "could not be written" in _TIMES.store("alpha", {})
