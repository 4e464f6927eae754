"""Driving the dashboard in tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from pixart_tui.cli.asking import request_of
from pixart_tui.runs.run import Run
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.app.settings import Settings
from pixart_tui.tui.app.work import Work
from pixart_tui.tui.widgets.line_view import LineView
from tests.tui import sample_runs

LIMIT_S = 60.0
"""Guards against a test that never ends; what passes takes a second."""


class Starts:
    """Records which runs were started, and puts a living process in the worker's place."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def __call__(self, run: Run) -> int:
        self.runs.append(run)
        identity = sample_runs.this_process()
        run.paths.worker.write_text(identity.model_dump_json())
        return identity.pid


def dashboard(
    *run_ids: str,
    starts: Starts | None = None,
    settings: Settings | None = None,
    attach: bool = False,
) -> DashboardApp:
    """The dashboard with a clock that stands still."""
    work = Work(start=starts, ask=request_of) if starts is not None else Work(ask=request_of)
    return DashboardApp(
        run_ids,
        attach=attach,
        clock=lambda: sample_runs.NOW_S,
        poll_s=0.1,
        work=work,
        settings=settings,
    )


def shown(app: DashboardApp) -> str:
    """Every line of the tab that is shown, scrolled out of sight or not."""
    views = [view for view in app.screen_stack[0].query(LineView) if view.size.width]
    return "\n".join(view.text for view in views)


def screen_text(app: DashboardApp) -> list[str]:
    """The lines of the screen as a terminal shows them."""
    strips = app.screen._compositor.render_strips()
    return [strip.text.rstrip() for strip in strips]


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Waits until something is so, and fails if it never is."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(strip for strip in screen_text(_app(pilot))))
        await pilot.pause(0.03)
    await pilot.pause()


async def until_shown(pilot: Pilot[None], *texts: str) -> str:
    """Waits until all of these stand in the tab that is shown; returns all of it."""
    app = _app(pilot)
    await until(pilot, lambda: all(text in shown(app) for text in texts))
    return shown(app)


async def until_told(pilot: Pilot[None], text: str) -> None:
    """Waits until a notification says something."""
    app = _app(pilot)

    def told() -> bool:
        return any(text in f"{note.title} {note.message}" for note in app._notifications)

    await until(pilot, told)


def _app(pilot: Pilot[None]) -> DashboardApp:
    app = pilot.app
    assert isinstance(app, DashboardApp)
    return app


def output_directory(tmp_path: Path) -> Path:
    """Where the sample profiles say that their files stand."""
    return tmp_path / "out"
