"""Writes to a terminal or a pipe: foreign text is shown and never obeyed.

Everything goes through here. No text is markup, no character controls the terminal, and what a
stream's encoding lacks is written as its ASCII character.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from pixart_tui.domain.plain_text import visible, visible_lines
from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH: Final = 120
_IN_ASCII: Final = "pixart_tui.ascii"


def prepare_streams() -> None:
    """Makes standard output and error replace characters that their encoding lacks by ASCII."""
    codecs.register_error(_IN_ASCII, _as_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_IN_ASCII)


def say(line: str, *, err: bool = False) -> None:
    """Writes a line to stdout.

    Args:
        line: The line; whatever breaks it is a space.
        err: Write it to stderr.
    """
    click.echo(visible(line), file=_stream(err))


def say_document(text: str) -> None:
    """Writes lines that end with a line's end to stdout."""
    click.echo(visible_lines(text), nl=False, file=_stream())


def say_as_it_is(text: str) -> None:
    """Writes to a pipe or a file what stands in a file, byte for byte where UTF-8 is spoken."""
    click.echo(text, nl=False, color=True, file=_stream())


def say_json(content: Any, *, indent: int | None = 1) -> None:
    """Writes a value as JSON to stdout, in ASCII, which every stream can carry."""
    if isinstance(content, Value):
        text = content.model_dump_json(indent=indent, ensure_ascii=True)
    else:
        text = json.dumps(content, indent=indent)
    say_as_it_is(text + "\n")


def ask(question: str) -> None:
    """Asks for a yes on stderr.

    Raises:
        click.Abort: The answer is no.
    """
    click.confirm(visible(question), abort=True, err=True)


def console(*, err: bool = False) -> Console:
    """The console for tables and bars; a pipe gets wide lines rather than wrapped ones."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        """Reads no markup, wherever a string comes from: a line, a cell, a title."""

        def render_str(self, text: str, **options: Any) -> Text:
            """The text as it is, but for what a terminal would act on."""
            return super().render_str(visible(text), **options | {"markup": False, "emoji": False})

        def on_broken_pipe(self) -> None:
            """Lets the command leave as it does elsewhere; rich would exit with code 1."""
            raise BrokenPipeError(errno.EPIPE, "the reader went away")

    wide = None if _stream(err).isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return PlainConsole(stderr=err, width=wide, markup=False, emoji=False)


def leave_closed_pipe() -> int:
    """The reader went away, as ``| head`` does: detach without a word; a run goes on."""
    # Python flushes stdout once more at exit, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _stream(err: bool = False) -> TextIO:
    return sys.stderr if err else sys.stdout


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    from pixart_tui.tui.drawing.glyphs import in_ascii  # not before it is needed

    assert isinstance(error, UnicodeEncodeError)
    return in_ascii(error.object[error.start : error.end]), error.end
