"""What the plain table says of a profile below its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pixart_tui.domain.look_text import describe_look
from pixart_tui.domain.looks import Look
from pixart_tui.domain.profile import LayerScore, Profile
from pixart_tui.domain.sample_notes import sample_notes, sample_records
from pixart_tui.domain.score_text import TIE_MARK

if TYPE_CHECKING:
    from pixart_tui.domain.effect_statistics import EffectStatistics


def profile_notes(
    profile: Profile, scores: Sequence[LayerScore], look: Look | None
) -> Iterator[str]:
    """One line each for what there is to say."""
    conditions = profile.conditions
    if tied := sum(score.tied for score in scores):
        yield f"{TIE_MARK} ranks that cannot be told apart: {tied} layers"
    if look is not None:
        yield describe_look(look, conditions.samples, conditions.quant_type)
    if profile.effects:
        # Only now: numpy takes longer to load than most commands.
        from pixart_tui.domain.effect_statistics import EffectStatistics

        yield _steps_note(EffectStatistics.of(profile.effects, conditions.quant_type), profile)
    yield from sample_notes(profile, sample_records(profile))


def _steps_note(found: EffectStatistics, profile: Profile) -> str:
    """Which call has the largest part in what the layers do to the image."""
    import numpy as np

    parts = np.nanmean(found.steps, axis=0)
    most = int(parts.argmax())
    unit = profile.conditions.call_name
    return (
        f"of a layer's effect, {unit} {most + 1} of {len(parts)} has {parts[most]:.0%} on average"
    )
