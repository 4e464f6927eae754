"""Describes a selection's steps and its predicted loss in words."""

from __future__ import annotations

from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.words import count


def kept_text(selection: Selection) -> str:
    """Which steps are kept, what that gives up, and what is quantized there all the same."""
    kept = f"steps kept: {selection.kept_steps.words}"
    given_up_s = given_up(selection)
    if given_up_s is not None:
        kept += f", which gives up {1000 * given_up_s:.3f} ms a step on average"
    return f"{kept}; {there_text(selection)}"


def there_text(selection: Selection) -> str:
    """Describes the layers that are quantized at the kept steps."""
    there = selection.choice.through_kept_steps
    return f"{count(len(there), 'layer')} quantized there too" if there else "in 16 bits"


def given_up(selection: Selection) -> float | None:
    """Seconds a step that keeping steps costs on average; None where not all was timed."""
    saved_s, every_s = selection.predicted_time_saved_s, selection.saved_at_every_step_s
    return None if saved_s is None or every_s is None else every_s - saved_s


def bound_text(selection: Selection) -> str:
    """How sure the predicted loss is; begins with what joins it to the figure."""
    if selection.predicted_low is not None and selection.predicted_high is not None:
        ends = f"{selection.predicted_low:.1e} - {selection.predicted_high:.1e}"
        return f" (95% interval for other prompts {ends})"
    blind = selection.kept_steps and not selection.predicted_by_step
    return ", as if no step were kept" if blind else ""
