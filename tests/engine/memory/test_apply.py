"""Each switch through a whole pipeline call."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.memory import apply_memory_options, is_in_strips, is_streamed

_CPU = torch.device("cpu")


def _image(loaded: LoadedPipeline) -> npt.NDArray[np.float32]:
    images: list[npt.NDArray[np.float32]] = loaded.pipeline(
        prompt="robot",
        num_inference_steps=2,
        height=64,
        width=64,
        max_sequence_length=16,
        generator=torch.Generator("cpu").manual_seed(0),
        clean_caption=False,
        use_resolution_binning=False,
        output_type="np",
    ).images
    return images[0]


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (MemoryOptions(), 0.0),
        (MemoryOptions(vae="sliced"), 0.0),
        (MemoryOptions(vae="strips"), 1e-4),
        (MemoryOptions(text_encoder_host_blocks=99), 1e-4),
        (MemoryOptions(text_encoder_8bit=True, text_encoder_host_blocks=1, vae="strips"), 0.1),
    ],
)
def test_the_image_stays(tiny: LoadedPipeline, options: MemoryOptions, tolerance: float) -> None:
    expected = _image(tiny)
    apply_memory_options(tiny.pipeline, options, _CPU)
    assert is_streamed(tiny.pipeline.text_encoder) == (options.text_encoder_host_blocks > 0)
    assert is_in_strips(tiny.pipeline.vae) == (options.vae == "strips")
    assert float(np.abs(_image(tiny) - expected).max()) <= tolerance


@pytest.mark.parametrize("model", ["synthetic:alpha", "synthetic:sigma"])
def test_tiles_are_smaller_than_the_image_of_either_model(model: str) -> None:
    pipeline = load_pipeline(model, dtype=torch.bfloat16, device=torch.device("meta")).pipeline
    apply_memory_options(pipeline, MemoryOptions(vae="tiled"), torch.device("meta"))
    assert pipeline.vae.use_tiling
    assert (pipeline.vae.tile_sample_min_size, pipeline.vae.tile_latent_min_size) == (512, 64)


def test_a_budget_is_settled_before() -> None:
    with pytest.raises(ValueError, match="settled"):
        apply_memory_options(None, MemoryOptions(budget_bytes=1), _CPU)
