"""Yields the notes below the plain table of a profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.reporting.look_text import describe_look
from pixart_tui.reporting.sample_notes import sample_notes, sample_records
from pixart_tui.reporting.score_text import TIE_MARK
from pixart_tui.reporting.step_shares import steps_of

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics


def profile_notes(
    profile: Profile,
    scores: Sequence[LayerScore],
    effects: EffectStatistics | None,
    look: Look | None,
) -> Iterator[str]:
    """One line each for what there is to say.

    Args:
        profile: The profile.
        scores: Its scores.
        effects: What its effects say; None where it has none.
        look: The last decision of the adjoint method.
    """
    conditions = profile.conditions
    if tied := sum(score.tied for score in scores):
        yield f"{TIE_MARK} ranks that cannot be told apart: {tied} layers"
    if look is not None:
        yield describe_look(look, conditions.samples, conditions.quant_type)
    if (steps := steps_of(profile, effects)) is not None:
        yield steps.summary
        yield from steps.lines
    yield from sample_notes(profile, sample_records(profile, effects))
