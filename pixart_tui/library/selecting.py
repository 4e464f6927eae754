"""Choosing the layers to quantize."""

from __future__ import annotations

from collections.abc import Sequence

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, Rule
from pixart_tui.domain.selecting.selection import Selection, choose
from pixart_tui.library.profiling import Source, profile_of, sources


def select(
    profiles: Source | Sequence[Source],
    *,
    top_percentage: float | None = None,
    flops_share: float | None = None,
    time_share: float | None = None,
    saved_share: float | None = None,
    max_loss: float | None = None,
    fused: bool = False,
) -> Selection:
    """Chooses the layers to quantize by one rule; ``top_percentage=90`` if none is given.

    Args:
        profiles: One, or several of other quant types: a value, or the path of its JSON.
        top_percentage: OneDiff's rule, by count.
        flops_share: The least loss for that share of the linear FLOPs.
        time_share: The least loss for that share of the measured linear time.
        saved_share: The least loss for that share of the time that can be saved.
        max_loss: The most time, or FLOPs, within that 1 - SSIM.
        fused: Whether layers that read the same rows are decided together.

    Raises:
        RequestError: Several rules, a parameter out of range, or a share that is not reached.
    """
    rules: dict[Rule, float | None] = {
        "top-percentage": top_percentage,
        "flops-share": flops_share,
        "time-share": time_share,
        "saved-share": saved_share,
        "max-loss": max_loss,
    }
    given = [(rule, value) for rule, value in rules.items() if value is not None]
    if len(given) > 1:
        raise RequestError(
            "several rules are given", cause=", ".join(r for r, _ in given), next_step="give one"
        )
    rule, parameter = given[0] if given else (DEFAULT_RULE.rule, DEFAULT_RULE.usual)
    known = [profile_of(source) for source in sources(profiles)]
    return choose(candidates_of(known), rule, parameter, fused=fused)


def refuse_other_type(named: str | None, choice: Choice) -> None:
    """Refuses a quant type that is not the one that layers were chosen for.

    Args:
        named: The quant type that was given; None for none.
        choice: The chosen layers.

    Raises:
        RequestError: They were chosen for another, or for several.
    """
    if named not in (None, choice.quant_type):
        raise RequestError(
            f"the layers are not chosen for {named}",
            cause=f"they are chosen for {', '.join(choice.quant_types)}",
            next_step="leave quant_type out: the selection says it",
        )
