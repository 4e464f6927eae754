"""The part that each transformer call has in what a layer does to the image, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.board import Figures
from pixart_tui.tui.lines import Line, Span, fit, line


def step_lines(shown: Figures, fqn: str, width: int) -> Iterator[Line]:
    """The parts of all calls at a glance, then one line for each; none where there are no effects.

    Args:
        shown: The figures of the quant type that is shown.
        fqn: The layer.
        width: Terminal cells of a line.
    """
    if shown.effects is None:
        return
    place = [layer.fqn for layer in shown.profile.layers].index(fqn)
    parts: list[float] = shown.effects.steps[place].tolist()
    most = max(parts)
    if not most > 0:  # NaN too
        return
    conditions = shown.profile.conditions
    unit = "denoising step" if conditions.call_name == "step" else "transformer call"
    yield line()
    yield line(Span(fit(f" effect on the image by {unit}", width), "head"))
    yield _outline(parts, most, conditions.call_name, width)
    for step, part in enumerate(parts):
        yield _step_line(step, part, most, width)


def _outline(parts: Sequence[float], most: float, name: str, width: int) -> Line:
    """All calls at a glance, and the one that matters most."""
    levels = "".join(glyphs.LEVELS[round(7 * part / most)] for part in parts)
    told = f"   most at {name} {parts.index(most) + 1}: {wording.share(most)}"
    shown = fit(f" {levels}", min(len(levels) + 1, width))
    return line(Span(shown, "live"), Span(fit(told, max(width - len(shown), 0)).rstrip(), "muted"))


def _step_line(step: int, part: float, most: float, width: int) -> Line:
    head = f" {step + 1:>4} {wording.share(part):>9} "
    bar = glyphs.BAR * round(max(width - len(head) - 1, 0) * part / most)
    return line(Span(head), Span(bar, "live"))
