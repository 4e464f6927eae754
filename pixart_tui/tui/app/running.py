"""Running the dashboard in a terminal that may go away at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.app.settings import Settings
from pixart_tui.tui.app.work import Work
from pixart_tui.tui.terminal.driver import LightDriver
from pixart_tui.tui.terminal.pictures import ImageMode, choose_pictures

if TYPE_CHECKING:
    from pixart_tui.tui.tabs.new_run.checking import Ask

_LEAVE_LIMIT_S: Final = 3.0
_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"
_SIGNALS: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def run_dashboard(
    run_ids: Sequence[str] = (), settings: Settings | None = None, ask: Ask | None = None
) -> None:
    """Runs the dashboard until the user leaves it or the terminal goes; runs go on.

    Args:
        run_ids: The runs to open, the first one in front; without any, what is going on.
        settings: How it looks, and its keys.
        ask: What a command line asks for; without it no run can be started.

    Raises:
        RequestError: Standard error, on which Textual draws, is not a terminal.
        WorkError: The dashboard itself failed.
    """
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        raise RequestError(
            "the dashboard draws on standard error, which is not a terminal",
            cause="it was sent to a file or a pipe",
            next_step="leave it alone, or look with: pixart-tui runs",
        )
    for name in ("COLUMNS", "LINES"):
        # Where a shell exports them, Textual would keep that size whatever the terminal's is.
        os.environ.pop(name, None)
    keep_numpy_to_one_core()
    settings = settings or Settings()
    work = Work(ask=ask) if ask else Work()
    if not sys.__stderr__.encoding.lower().startswith("utf"):
        ascii_only = settings.display.replace(ascii=True)
        settings = settings.replace(display=ascii_only)
    display = settings.display
    # Now, as nothing may ask the terminal once Textual reads from it.
    pictures = choose_pictures(ImageMode(display.images), os.environ, ascii_only=display.ascii)
    app = DashboardApp(
        run_ids,
        attach=True,
        work=work,
        settings=settings,
        pictures=pictures,
        driver_class=LightDriver,
    )
    asyncio.run(_run(app, mouse=display.mouse))
    if app.return_code:
        raise WorkError(
            "the dashboard failed", cause="see above", next_step="runs go on: pixart-tui runs"
        )


def keep_numpy_to_one_core() -> None:
    """Before numpy is imported: its BLAS has threads wait at full speed on every other core.

    Workers get what stands in os.environ, and so nothing of this.
    """
    if _BLAS_THREADS not in os.environ:
        os.putenv(_BLAS_THREADS, "1")


async def _run(app: DashboardApp, *, mouse: bool) -> None:
    # Textual handles none of these: a terminal that closes would kill it half-way.
    loop = asyncio.get_running_loop()
    stuck = threading.Timer(_LEAVE_LIMIT_S, os._exit, (1,))
    stuck.daemon = True

    def leave(_number: int, _frame: FrameType | None) -> None:
        # A terminal that is gone may hold up the way out for ever; there is nothing to lose here.
        with suppress(RuntimeError):
            stuck.start()
        loop.call_soon_threadsafe(app.exit)

    for number in _SIGNALS:
        signal.signal(number, leave)
    try:
        await app.run_async(mouse=mouse)
    finally:
        stuck.cancel()
