"""Parses a command line without running it: the dashboard's form is checked by this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from pixart_tui.cli.commands.bench import bench, bench_request
from pixart_tui.cli.commands.profile import profile, profile_request
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.text_files import STDIN
from pixart_tui.domain.requests import BenchRequest, ProfileRequest

_WATCHING: Final = ("detach", "display", "list_rows")


def request_of(words: Sequence[str]) -> ProfileRequest | BenchRequest:
    """The request of ``pixart-tui profile`` or ``pixart-tui bench``; nothing is started.

    Args:
        words: The command line without the program's name.

    Raises:
        RequestError: What the command would say, with the option that is to blame.
    """
    if words[0] == "bench":
        return bench_request(words, **_options(bench, words))
    return profile_request(**_options(profile, words))


def as_request_error(error: click.ClickException) -> RequestError:
    """Turns click's complaint about a command line into one of our errors."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pixart-tui"
    parameter = getattr(error, "param", None)
    return RequestError(
        error.format_message().splitlines()[0],
        next_step=f"see: {command} --help",
        option=parameter.opts[0] if parameter is not None else "",
    )


def _options(command: click.Command, words: Sequence[str]) -> dict[str, Any]:
    parse: Callable[..., click.Context] = command.make_context
    try:
        options = parse(f"pixart-tui {words[0]}", list(words[1:])).params
    except click.ClickException as error:
        raise as_request_error(error) from error
    if options.get("prompts_file") == STDIN:
        raise RequestError(
            "the dashboard cannot read prompts from standard input",
            cause="- is standard input, and the keys come from there",
            next_step="name a file",
            option="--prompts-file",
        )
    return {name: value for name, value in options.items() if name not in _WATCHING}
