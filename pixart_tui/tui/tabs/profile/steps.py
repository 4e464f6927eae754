"""The part that each transformer call has in what layers do to the image, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixart_tui.reporting.step_shares import StepShares, strip
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, line
from pixart_tui.tui.state.overview import Figures


def step_lines(shown: Figures, fqn: str, width: int) -> Iterator[Line]:
    """The parts of all calls at a glance, then one line for each; none where there are no effects.

    Args:
        shown: The figures of the quant type that is shown.
        fqn: The layer.
        width: Terminal cells of a line.
    """
    known = shown.steps
    if known is None or fqn not in known.by_layer:
        return
    parts = known.by_layer[fqn]
    most = max(parts)
    unit = "denoising step" if known.call_name == "step" else "transformer call"
    yield line()
    yield line(Span(fit(f" effect on the image by {unit}", width), "head"))
    yield _outline(parts, known.call_name, width)
    together = (
        Span(" "),
        Span(strip(known.together), "live"),
        Span("   all layers together", "muted"),
    )
    yield _cut(together, width)
    for step, part in enumerate(parts):
        yield _step_line(step, part, most, width)


def strip_lines(shown: Figures, fqn: str | None, width: int) -> Iterator[Line]:
    """One cell a call, of all layers and of one, side by side where both have room.

    Args:
        shown: The figures of the quant type that is shown.
        fqn: The layer under the cursor; None for none.
        width: Terminal cells of a line.
    """
    known = shown.steps
    if known is None:
        return
    every = _strip("all layers", known.together)
    one = known.by_layer.get(fqn or "")
    layer = _strip("this one", one) if one is not None else ()
    head = Span(f" by {known.call_name}  ", "muted")
    both = (head, *every, Span("   "), *layer)
    if sum(len(span.text) for span in both) <= width:
        yield _with_most(both if layer else (head, *every), known, one, width)
        return
    for spans in (every, layer):
        if spans:
            yield _cut((head, *spans), width)


def _strip(name: str, parts: Sequence[float]) -> tuple[Span, ...]:
    return (Span(f"{name} ", "muted"), Span(strip(parts), "live"))


def _with_most(
    spans: Sequence[Span], known: StepShares, one: Sequence[float] | None, width: int
) -> Line:
    """With the call that matters most, where there is room to tell."""
    shown = [_most(known.together), *((_most(one),) if one is not None else ())]
    told = f"   most at {known.call_name} {', '.join(shown)}"
    room = width - sum(len(span.text) for span in spans)
    return (*spans, Span(told, "muted")) if len(told) <= room else tuple(spans)


def _most(parts: Sequence[float]) -> str:
    most = max(parts)
    return f"{parts.index(most) + 1} ({most:.0%})"


def _cut(spans: Sequence[Span], width: int) -> Line:
    found: list[Span] = []
    for text, cell_style in spans:
        shown = fit(text, min(len(text), max(width, 0)))
        found.append(Span(shown, cell_style))
        width -= len(shown)
    return tuple(found)


def _outline(parts: Sequence[float], name: str, width: int) -> Line:
    """All calls at a glance, and the one that matters most."""
    levels, most = strip(parts), max(parts)
    told = f"   most at {name} {parts.index(most) + 1}: {wording.share(most)}"
    shown = fit(f" {levels}", min(len(levels) + 1, width))
    return line(Span(shown, "live"), Span(fit(told, max(width - len(shown), 0)).rstrip(), "muted"))


def _step_line(step: int, part: float, most: float, width: int) -> Line:
    head = f" {step + 1:>4} {wording.share(part):>9} "
    bar = glyphs.BAR * round(max(width - len(head) - 1, 0) * part / most)
    return line(Span(head), Span(bar, "live"))
