"""Describes a look at the measurements, and the use of more samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.words import count


def describe_look(look: Look, planned: int, quant_type: str) -> str:
    """A look as one sentence about one quant type.

    Args:
        look: The look.
        planned: Samples that were asked for.
        quant_type: The quant type whose cut it is.
    """
    undecided = look.undecided.get(quant_type, 0)
    so_far = f"{look.samples} of {count(planned, 'sample')}"
    if look.outcome == "settled":
        return f"cut settled after {so_far}"
    found = _undecided(undecided, look.with_twice.get(quant_type, 0)) if undecided else ""
    if look.outcome == "spent":
        return f"all {count(planned, 'sample')} measured; {found or 'the cut is settled'}"
    if look.outcome == "time":
        return f"stopped by --max-minutes after {so_far}; {found or 'the cut is settled'}"
    return f"after {so_far}: {found or 'the cut is settled'}"


def look_lines(look: Look, planned: int, quant_types: Sequence[str]) -> Iterator[str]:
    """A look, one line for each quant type; it is named where there are several."""
    for quant_type in quant_types:
        name = f"{quant_type}: " if len(quant_types) > 1 else ""
        yield f"{name}{describe_look(look, planned, quant_type)}"


def _undecided(undecided: int, with_twice: int) -> str:
    """How many layers may stand on the wrong side of the cut, now and with more samples."""
    later = f"about {with_twice}" if with_twice else "none"
    layers = count(undecided, "layer")
    return f"{layers} near the cut cannot be told apart ({later} with twice as many samples)"
