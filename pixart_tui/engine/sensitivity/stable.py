"""A smaller guidance under which trajectories do not fork."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from pixart_tui.domain.probing import Stability
from pixart_tui.engine.sensitivity.amplification import Amplification
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample
from pixart_tui.engine.sensitivity.trajectories import Trajectories

_TRIED: Final = (0.8, 0.65, 0.5, 0.4)
"""Parts of the guidance that forks; what is no guidance any more is not tried."""


def stable_guidance(
    renderer: Renderer,
    samples: Sequence[Sample],
    amplify: Callable[[Renderer, Trajectories, Sequence[Sample]], Amplification],
) -> tuple[float | None, float]:
    """The largest guidance tried that adds to no error, None if there is none; and what it took.

    Args:
        renderer: Of the setting that forks.
        samples: Whose trajectories are followed.
        amplify: Measures the amplification with a renderer's settings.

    Returns:
        The guidance, and transformer calls in calls for one image.
    """
    forwards = 0.0
    for part in _TRIED:
        guidance = round(part * renderer.settings.guidance_scale, 1)
        if guidance <= 1:
            break
        calmer = renderer.with_settings(replace(renderer.settings, guidance_scale=guidance))
        known = Trajectories()
        calmer.trajectory(calmer.prepare(tuple(samples)), known.of(tuple(samples)))
        found = amplify(calmer, known, samples)
        forwards += found.forwards + len(samples) * renderer.settings.num_inference_steps
        if found.stability(guidance).worst_expansion <= 1:
            return guidance, forwards
    return None, forwards


def with_stable(found: Stability, guidance: float | None) -> Stability:
    """The same finding, with the guidance that would be stable."""
    return found.model_copy(update={"stable_guidance_scale": guidance})
