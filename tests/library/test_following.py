"""Giving up on a run of a worker from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui import bench, profile, verify
from pixart_tui.domain.events import BenchPlanned, Event, SampleMeasured, VerifyPlanned
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.run import RunState


class _EnoughError(Exception):
    pass


def test_raising_in_the_callback_cancels_a_benchmark() -> None:
    def give_up(event: Event) -> None:
        if isinstance(event, BenchPlanned):
            raise _EnoughError

    with pytest.raises(_EnoughError):
        bench(
            "synthetic:alpha-tiny",
            compilers=["none"],
            steps=2,
            repeats=1000,  # far from its end when it is given up
            device="cpu",
            on_event=give_up,
        )
    assert find_run("last").state() is RunState.CANCELLED


def test_raising_in_the_callback_cancels_a_verification(tmp_path: Path) -> None:
    profiled = profile("synthetic:alpha-tiny", prompts=["a", "b"], steps=2, draws=2, device="cpu")
    path = profiled.save(tmp_path / "p.json")

    def give_up(event: Event) -> None:
        if isinstance(event, VerifyPlanned):
            raise _EnoughError

    with pytest.raises(_EnoughError):
        verify(path, device="cpu", repair_images=64, report_images=64, on_event=give_up)
    assert find_run("last").state() is RunState.CANCELLED


def test_raising_in_the_callback_ends_a_profile() -> None:
    def give_up(event: Event) -> None:
        if isinstance(event, SampleMeasured):
            raise _EnoughError

    with pytest.raises(_EnoughError):
        profile("synthetic:alpha-tiny", prompts=["a"], steps=2, draws=2, on_event=give_up)
