"""The sizes that a model was trained on, and what the stock pipeline makes of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import (
    ASPECT_RATIO_256_BIN,
    ASPECT_RATIO_512_BIN,
    ASPECT_RATIO_1024_BIN,
)
from diffusers.pipelines.pixart_alpha.pipeline_pixart_sigma import ASPECT_RATIO_2048_BIN

from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.loading.loaded import Family
from pixart_tui.engine.sampling import check_side
from pixart_tui.engine.typing import Pipeline

Bins: TypeAlias = Mapping[str, list[float]]

_ALPHA_BINS: Final[Mapping[int, Bins]] = {
    32: ASPECT_RATIO_256_BIN,
    64: ASPECT_RATIO_512_BIN,
    128: ASPECT_RATIO_1024_BIN,
}
_BINS: Final[Mapping[Family, Mapping[int, Bins]]] = {
    "alpha": _ALPHA_BINS,
    "sigma": {**_ALPHA_BINS, 256: ASPECT_RATIO_2048_BIN},
}


def bins_of(pipeline: Pipeline, family: Family) -> Bins | None:
    """A model's sizes by aspect ratio, None where the stock pipeline knows none."""
    return _BINS[family].get(pipeline.transformer.config.sample_size)


def drawn_size(pipeline: Pipeline, call: GenerateCall, bins: Bins | None) -> tuple[int, int]:
    """Height and width that an image is drawn at, before it is resized to what was asked.

    Raises:
        RequestError: The model cannot draw that size.
    """
    if call.uses_binning and bins is not None:
        height, width = pipeline.image_processor.classify_height_width_bin(
            call.height, call.width, ratios=bins
        )
        return int(height), int(width)
    multiple = pipeline.vae_scale_factor * pipeline.transformer.config.patch_size
    check_side("height", call.height, multiple)
    check_side("width", call.width, multiple)
    return call.height, call.width
