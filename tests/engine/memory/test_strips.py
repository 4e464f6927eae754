"""Strips against the whole decoder."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.memory.group_norm import group_norm_affine, normalize_silu
from pixart_tui.engine.memory.strips import decode_in_strips, is_in_strips

_CPU = torch.device("cpu")
_MIB = 2**20


def _latents(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(device, dtype)


@torch.no_grad()
def _both(vae: Any, latents: Tensor, strip_pixels: int) -> tuple[Tensor, Tensor]:
    whole = vae.decode(latents, return_dict=False)[0]
    decode_in_strips(vae, strip_pixels)
    return whole, vae.decode(latents, return_dict=False)[0]


@pytest.fixture(scope="module")
def emoji() -> LoadedPipeline:
    return load_pipeline("pixart-emoji", dtype=torch.float32, device=_CPU)


@pytest.mark.parametrize(
    ("images", "height", "width"), [(1, 8, 8), (2, 7, 5), (3, 1, 9), (1, 33, 3)]
)
@pytest.mark.parametrize("strip_pixels", [1, 300, 1_000_000])
def test_the_tiny_vae_decodes_the_same(
    tiny: LoadedPipeline, images: int, height: int, width: int, strip_pixels: int
) -> None:
    whole, strips = _both(tiny.pipeline.vae, _latents(images, 4, height, width), strip_pixels)
    assert strips.shape == whole.shape == (images, 3, 8 * height, 8 * width)
    torch.testing.assert_close(strips, whole, rtol=0, atol=2e-5 * float(whole.abs().max()))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 9)])
def test_the_embedded_vae_decodes_the_same(emoji: LoadedPipeline, height: int, width: int) -> None:
    vae = copy.deepcopy(emoji.pipeline.vae)
    whole, strips = _both(vae, _latents(2, 4, height, width), strip_pixels=1000)
    assert float((strips - whole).abs().max()) < 2e-5 * float(whole.abs().max())


def test_the_strips_really_are_strips(tiny: LoadedPipeline) -> None:
    vae, seen = tiny.pipeline.vae, []
    decode_in_strips(vae, strip_pixels=64 * 16)
    last = vae.decoder.up_blocks[-1].resnets[0].conv1
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    vae.decode(_latents(1, 4, 8, 8))
    assert seen == [17, 18, 18, 17]


def test_names_stay_and_the_state_is_told(tiny: LoadedPipeline) -> None:
    vae = tiny.pipeline.vae
    names = list(vae.state_dict())
    assert not is_in_strips(vae)
    decode_in_strips(vae)
    assert is_in_strips(vae)
    assert list(vae.state_dict()) == names


def test_compiling_the_decoder_leaves_it_eager(tiny: LoadedPipeline) -> None:
    vae, latents = tiny.pipeline.vae, _latents(1, 4, 8, 8)
    decode_in_strips(vae)
    eager = vae.decode(latents).sample
    vae.decoder.compile()
    assert torch.equal(vae.decode(latents).sample, eager)


def test_another_decoder_is_refused(tiny: LoadedPipeline) -> None:
    vae = tiny.pipeline.vae
    vae.decoder.up_blocks[0].resnets[0].nonlinearity = nn.GELU()
    with pytest.raises(RequestError, match="cannot be decoded in strips"):
        decode_in_strips(vae)


def test_group_norm_in_parts_is_group_norm() -> None:
    norm = nn.GroupNorm(4, 16, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    # Far from zero, where a difference of sums is least exact.
    x = 30 + _latents(1, 16, 20, 7).contiguous(memory_format=torch.channels_last)
    affine = group_norm_affine(norm, torch.split(x, 6, dim=2))
    expected = torch.nn.functional.silu(norm.double()(x.double()))
    torch.testing.assert_close(normalize_silu(x, affine).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("channels", "height", "width"), [(128, 70, 33), (48, 9, 65), (512, 5, 8)])
@torch.no_grad()
def test_the_kernels_match_what_the_cpu_computes(
    dtype: torch.dtype, channels: int, height: int, width: int
) -> None:
    norm = nn.GroupNorm(8, channels)
    nn.init.normal_(norm.weight)
    x = 3 + _latents(1, channels, height, width, dtype=dtype)
    expected = normalize_silu(x, group_norm_affine(norm, torch.split(x, 4, dim=2)))
    on_gpu = x.cuda().contiguous(memory_format=torch.channels_last)
    norm.cuda()
    actual = normalize_silu(on_gpu, group_norm_affine(norm, torch.split(on_gpu, 4, dim=2)))
    assert actual.is_contiguous(memory_format=torch.channels_last)
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(actual.cpu(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@torch.no_grad()
def test_full_size_strips_take_less_memory_and_give_the_same_image() -> None:
    loaded = load_pipeline("synthetic:alpha", dtype=torch.bfloat16, device=torch.device("cuda"))
    vae = loaded.pipeline.vae
    loaded.pipeline.text_encoder = loaded.pipeline.transformer = None
    latents = _latents(1, 4, 128, 128, dtype=torch.bfloat16, device="cuda")
    exact = copy.deepcopy(vae).float().decode(latents.float()).sample.cpu()
    torch.cuda.empty_cache()
    whole, whole_bytes = _decoded(vae, latents)
    decode_in_strips(vae)
    strips, strips_bytes = _decoded(vae, latents)
    assert strips_bytes < 820 * _MIB < whole_bytes
    assert _error(strips, exact) < 1.1 * _error(whole, exact) + 1e-3


def _decoded(vae: Any, latents: Tensor) -> tuple[Tensor, int]:
    """The image, and the peak above what was there before."""
    vae.decode(latents)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    image = vae.decode(latents).sample
    return image.float().cpu(), torch.cuda.max_memory_allocated() - before


def _error(image: Tensor, exact: Tensor) -> float:
    return float((image - exact).norm() / exact.norm())
