"""How the images of a benchmark are made: as the model's own defaults say."""

from __future__ import annotations

from collections.abc import Sequence

from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.sensitivity.rendering import Sample, Settings


def default_settings(
    loaded: LoadedPipeline, samples: Sequence[Sample], guidance_scale: float | None = None
) -> Settings:
    """The settings of these samples; the model's own guidance where none is given."""
    defaults = loaded.defaults
    return Settings(
        samples=tuple(samples),
        negative_prompt="",
        num_inference_steps=defaults.num_inference_steps,
        guidance_scale=defaults.guidance_scale if guidance_scale is None else guidance_scale,
        height=defaults.height,
        width=defaults.width,
        max_sequence_length=defaults.max_sequence_length,
    )
