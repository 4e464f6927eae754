"""The command reference, from the commands themselves: ``python -m pixart_tui.cli.reference``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from pixart_tui.cli.display.writing import say
from pixart_tui.cli.main import cli

PAGE: Final = Path("docs/commands.md")

_HEAD: Final = """\
# Commands

Written from the commands' own `--help` by `make tables`. Results go to stdout, narration to stderr.
Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 130 cancelled. `RUN` is a run's id,
a unique beginning of one, or `last`.
"""
_WIDTH: Final = 100


def reference() -> str:
    """The page: each command's help, as the command prints it."""
    return "\n".join((_HEAD, *_sections()))


def _sections() -> Iterator[str]:
    for name, command in (("pixart-tui", cli), *_below("pixart-tui", cli)):
        context = click.Context(
            command,
            info_name=name,
            terminal_width=_WIDTH,
            max_content_width=_WIDTH,
            help_option_names=cli.context_settings["help_option_names"],
        )
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        yield f"## {name}\n\n```text\n{text}\n```\n"


def _below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    # Asked for by name, since commands are imported only then.
    context = click.Context(group, info_name=name)
    for word in sorted(group.list_commands(context)):
        command = group.get_command(context, word)
        if command is None or command.hidden:
            continue
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from _below(f"{name} {word}", command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("page", type=Path, nargs="?", default=PAGE)
    page: Path = parser.parse_args(arguments).page
    page.write_text(reference(), encoding="utf-8")
    say(f"wrote {page}", err=True)


if __name__ == "__main__":
    main()
