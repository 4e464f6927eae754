"""The benchmark of the wire counts what a terminal gets; and an ended run sends nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.on_screen import Arrivals
from benchmarks.pty_dashboard import PtyDashboard
from benchmarks.wire import Screen
from pixart_tui.domain.events import LayerMeasured
from pixart_tui.runs.journal import JournalWriter
from tests.tui import sample_runs


def test_a_screen_on_which_nothing_changes_sends_nothing(tmp_path: Path) -> None:
    run = sample_runs.finished_profile(tmp_path)
    with PtyDashboard(run.paths.directory.parent, ["attach", run.id], 80, 24) as dashboard:
        dashboard.require("85 of 85 layers")
        dashboard.follow(3.0)
        sent, repaints, cpu_s = dashboard.sent_bytes, dashboard.repaints, dashboard.cpu_s
        assert sent > 2000
        assert repaints >= 1
        assert cpu_s > 0.1

        dashboard.follow(2.0)
        assert dashboard.sent_bytes == sent

        dashboard.press("4")
        dashboard.require("No benchmark is open")
        assert dashboard.repaints > repaints


def test_what_is_overtaken_counts_when_the_newer_is_seen(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path, measured=34)
    arrivals = Arrivals(run.paths.directory, "profile")
    layers = [e for e in sample_runs.profile_events(85) if isinstance(e, LayerMeasured)]
    with JournalWriter(run.paths.events) as journal:
        for event in layers[34:37]:
            journal.append(event)

    arrivals.look([" ━━━ 34 of 85 layers"])
    assert arrivals.summary()["n"] == 0
    arrivals.look([" ━━━ 36 of 85 layers"])
    assert arrivals.summary()["n"] == 2
    arrivals.look([" ━━━ 37 of 85 layers"])
    found = arrivals.summary()
    assert found["n"] == 3
    assert found["not_seen"] == 0
    assert isinstance(found["max"], float)
    assert 0 <= found["max"] < 60


def test_screens_are_named_with_their_keys() -> None:
    assert Screen.parse("Heat=profile:mm") == Screen("Heat", "profile", "mm")
    assert Screen.parse("Bench=bench") == Screen("Bench", "bench", "")
    with pytest.raises(argparse.ArgumentTypeError, match="profile or bench"):
        Screen.parse("Heat=layers")
