"""The runs as lines: one each, and the details of the one under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pixart_tui.domain.requests import (
    AnyRequest,
    BenchRequest,
    CompareRequest,
    ExportRequest,
    GenerateRequest,
    ProfileRequest,
    VerifyRequest,
)
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, fit_right, line, printable, progress_bar
from pixart_tui.tui.drawing.states import state_span
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.tabs.run_head import outcome_lines

_STATE: Final = 12
_ID: Final = 10
_KIND: Final = 9
_BAR_LEAST: Final = 10
_BAR_MOST: Final = 40
_DONE: Final = 9
_ETA: Final = 9
_AGE: Final = 6
_FIXED: Final = 1 + _STATE + _ID + _KIND + _DONE + _ETA + _AGE
_MODEL_MOST: Final = 40


def head_line(width: int) -> Line:
    """The columns' names."""
    text = (
        " "
        + "state".ljust(_STATE)
        + "id".ljust(_ID)
        + "kind".ljust(_KIND)
        + fit("model", _model_width(width))
        + "progress".ljust(_bar_width(width))
        + " " * _DONE
        + fit_right("ETA", _ETA)
        + fit_right("age", _AGE)
    )
    return line(Span(text, "head"))


def run_line(run: RunView, now_s: float, width: int) -> Line:
    """One run."""
    model = _model_width(width)
    return (
        Span(" "),
        Span(fit(state_span(run.state).text, _STATE), state_span(run.state).cell_style),
        Span(fit(run.id, _ID)),
        Span(fit(run.kind, _KIND), "muted"),
        Span(fit(fit(run.model, model - 1), model)),
        *progress_bar(run.fraction, _bar_width(width)),
        Span(fit_right(f"{run.done}/{run.total}" if run.total else "-", _DONE)),
        Span(fit_right(wording.duration(run.eta_s), _ETA), "muted"),
        Span(fit_right(wording.age(now_s - run.created_s), _AGE), "muted"),
    )


def detail_lines(run: RunView, width: int) -> list[Line]:
    """Yields the request of a run and its state."""
    asked = Span(fit(printable(_asked(run.request)), width - 2), "muted")
    return [line(Span(glyphs.RULE * width, "track")), line(" ", asked), *outcome_lines(run, width)]


def empty_lines(overview: Overview) -> Sequence[Line]:
    """Returns the text of an empty list."""
    if overview.problem:
        return [line(), line(Span(f" ! the runs cannot be read: {overview.problem}", "bad"))]
    if not overview.is_whole:
        return [line(), line(Span(" Reading the runs.", "title"))]
    return [
        line(),
        line(Span(" No runs yet.", "title")),
        line(),
        line(" n  starts one: a form asks what to measure"),
        line(Span(" the same in a shell:  pixart-tui profile --model M", "muted")),
    ]


def _model_width(width: int) -> int:
    return max(8, min(width - _FIXED - _BAR_LEAST, _MODEL_MOST))


def _bar_width(width: int) -> int:
    return max(_BAR_LEAST, min(width - _FIXED - _model_width(width), _BAR_MOST))


def _asked(request: AnyRequest | None) -> str:
    if request is None:
        return "what was asked cannot be read"
    output = getattr(request, "output", None)
    where = f", to {output}" if output and not isinstance(request, BenchRequest) else ""
    return f"{_what(request)} on {request.device}{where}"


def _what(request: AnyRequest) -> str:
    match request:
        case ProfileRequest():
            return f"{request.method}, {', '.join(request.quant_types)}"
        case BenchRequest():
            quantized = f", each with {request.quant_type}" if request.quantize else ""
            return f"{', '.join(request.compilers)}{quantized}"
        case VerifyRequest():
            return f"{request.rule} {request.parameter:g}"
        case ExportRequest():
            chosen = wording.count(len(request.record.selection.chosen), "layer")
            return f"a checkpoint with {chosen} quantized"
        case GenerateRequest():
            quantized = f" with {request.quant_type}" if request.quantize else ""
            return f"compiler {request.compiler}{quantized}"
        case CompareRequest():
            layers = wording.count(len(request.layers), "layer") if request.layers else "all layers"
            return f"{layers} in {request.quant_type}"
