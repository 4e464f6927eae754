"""Groups targets that are decided together, as a fused deployment treats them alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from pixart_tui.domain.layers.roles import fused_group, reads_text
from pixart_tui.domain.selecting.candidates import Candidate, Candidates


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice to be made.

    Attributes:
        alternatives: The sets of options among which one is taken; the first is empty: keep.
    """

    alternatives: tuple[tuple[Candidate, ...], ...]


def decisions_of(
    candidates: Candidates, *, fused: bool, text_type: str | None = None, only_paying: bool = False
) -> tuple[Decision, ...]:
    """The decisions of the candidates.

    Args:
        candidates: The targets and their options.
        fused: Whether the deployment runs layers that read the same rows together, as
            ``--compiler torch`` does: the rows are quantized once, so such layers are each either
            kept or all of one quant type.
        text_type: The only quant type of the layers that read the text, which a fused deployment
            quantizes once for all blocks; None leaves them free.
        only_paying: Leaves out options that were timed and save nothing.
    """
    options = [
        option
        for option in candidates.options
        if not (only_paying and option.speeds_up is False)
        and not (text_type and reads_text(option.target) and option.quant_type != text_type)
    ]
    grouped: dict[str, list[Candidate]] = {}
    several = len(candidates.layer_types) > 1
    for option in options:
        group = fused_group(option.target) if fused and several else None
        # Not the group's name alone: it is also that of the block's attention.
        grouped.setdefault(f"rows of {group}" if group else option.target, []).append(option)
    return tuple(Decision(alternatives=((), *_alternatives(group))) for group in grouped.values())


def _alternatives(options: Sequence[Candidate]) -> Iterator[tuple[Candidate, ...]]:
    """Every way to quantize some of the options' targets to one quant type."""
    by_type: dict[str, list[Candidate]] = {}
    for option in options:
        by_type.setdefault(option.quant_type, []).append(option)
    for of_type in by_type.values():
        by_target: dict[str, list[Candidate | None]] = {}
        for option in of_type:
            by_target.setdefault(option.target, [None]).append(option)
        for picks in product(*by_target.values()):
            if taken := tuple(option for option in picks if option is not None):
                yield taken
