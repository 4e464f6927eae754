"""Opening the dashboard from a command, as the user's configuration and options ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from pixart_tui.domain.requests import BenchRequest, ProfileRequest
    from pixart_tui.tui.app.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--theme",
        type=click.Choice(("dark", "light", "ansi-dark", "ansi-light")),
        help="The dashboard's colors; ansi takes the terminal's own.",
    ),
    click.option(
        "--images",
        type=click.Choice(("auto", "kitty", "sixel", "halfcell", "none")),
        help="How the dashboard draws pictures.",
    ),
    click.option("--ascii/--no-ascii", default=None, help="Draw the dashboard in ASCII only."),
    click.option(
        "--mouse/--no-mouse",
        default=None,
        help="Take the mouse; without it the terminal selects text as usual.",
    ),
)


class Viewer(NamedTuple):
    """The arguments of the dashboard, shared by all commands that open it.

    Attributes:
        settings: How it looks, and its keys; None without a terminal.
        ask: What a command line asks for, so that its form can start a run.
    """

    settings: Settings | None
    ask: Callable[[Sequence[str]], ProfileRequest | BenchRequest]


def dashboard_options(command: _Command) -> _Command:
    """Adds the options that say how the dashboard looks."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """The settings of the configuration file, with the options in front.

    Raises:
        RequestError: The file cannot be read, or has an unknown setting.
    """
    from pixart_tui.tui.app.settings import read_settings, settings_path

    path = settings_path()
    settings = read_settings(path)
    if settings.keys:
        from pixart_tui.tui.app.app import DashboardApp

        DashboardApp.check_keys(settings.keys, str(path))
    given = {name: value for name, value in options.items() if value is not None}
    return settings.replace(display=settings.display.replace(**given))


def open_dashboard(run_ids: Sequence[str] = ()) -> None:
    """Runs the dashboard until the user leaves it; runs go on.

    Args:
        run_ids: The runs to open, the first one in front.
    """
    from pixart_tui.tui.app.running import run_dashboard

    context = click.get_current_context(silent=True)
    viewer: Viewer | None = context.find_root().obj if context else None
    run_dashboard(run_ids, *(viewer or ()))
