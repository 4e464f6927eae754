"""Checks the form by the command line's parser, and draws the outcome."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.requests import BenchRequest, ProfileRequest
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, printable, wrap_path
from pixart_tui.tui.tabs.new_run.fields import FormField, FormKind, blamed_field

Ask = Callable[[Sequence[str]], ProfileRequest | BenchRequest]
"""Parses a command line, without the program's name, into a request."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of checking a command line.

    Attributes:
        words: The command line without the program's name.
        summary: What would be done; empty if it is refused.
        error: Why it is refused.
        field: The field that is to blame, None if none alone is.
    """

    words: tuple[str, ...]
    summary: tuple[str, ...] = ()
    error: PixartTuiError | None = None
    field: FormField | None = None

    @property
    def command(self) -> str:
        """The command line as it is typed into a shell."""
        return shlex.join(["pixart-tui", *self.words])


def check(ask: Ask, kind: FormKind, words: Sequence[str]) -> Verdict:
    """Checks a command line, by the command line's own rules. It reads files."""
    try:
        request = ask(words)
    except PixartTuiError as error:
        option = error.option if isinstance(error, RequestError) else ""
        return Verdict(tuple(words), error=error, field=blamed_field(kind, option))
    return Verdict(tuple(words), summary=_summary(request))


def verdict_lines(verdict: Verdict, width: int) -> list[Line]:
    """Yields the fault and its remedy, or a summary of the run."""
    if verdict.error is None:
        return [_told(text, place, width) for place, text in enumerate(verdict.summary)]
    error = verdict.error
    label = f"{verdict.field.label}: " if verdict.field else ""
    head = _wrapped(f"{label}{error.title}", width)
    rest = [text for part in (error.cause, error.next_step) for text in _wrapped(part, width)]
    return [
        line(Span(f" {glyphs.FAILED} ", "bad"), Span(head[0], "bad")),
        *(line(Span(f"   {text}", "bad")) for text in head[1:]),
        *(line(Span(f"   {text}", "muted")) for text in rest),
    ]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(printable(text), max(width - 4, 10))


def command_lines(command: str, width: int) -> list[Line]:
    """The command line, whole, over as many lines as it needs."""
    chunks = wrap_path(printable(f"$ {command}"), width)
    return [line(Span(chunk, "text")) for chunk in chunks]


def _told(text: str, place: int, width: int) -> Line:
    mark = f" {glyphs.DONE} " if place == 0 else "   "
    return line(Span(mark, "good"), Span(fit(printable(text), width - 3), "muted"))


def _summary(request: ProfileRequest | BenchRequest) -> tuple[str, ...]:
    prompts = "the package's prompts"
    if request.prompts:
        prompts = wording.count(len(request.prompts), "prompt")
    if isinstance(request, ProfileRequest):
        seeds = wording.count(len(request.seeds), "seed")
        types = ", ".join(request.quant_types)
        what = f"{request.method}, {types}, {prompts}, {seeds}, on {request.device}"
    else:
        quantized = f", quantized rows with {request.quant_type}" if request.quantize else ""
        rows = f"matrix {request.matrix}" if request.matrix else ", ".join(request.compilers)
        what = f"{rows}{quantized}, on {request.device}"
    more = len(request.more_quant_types) if isinstance(request, ProfileRequest) else 0
    return (what, *_output_words(request.output, more))


def _output_words(output: str | None, more: int) -> tuple[str, str]:
    if output is None:
        return ("writes no file", "")
    words = [f"{more} more JSON beside it"] if more else []
    words += ["replaces the file that is there"] if Path(output).exists() else []
    return (f"writes {output}", f"and {' and '.join(words)}" if words else "")
