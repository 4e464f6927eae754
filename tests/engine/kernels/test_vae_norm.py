"""The decoder's group norm kernels against torch in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
SHAPES = [
    ((1, 128, 256, 256), 32),
    ((2, 256, 33, 47), 32),
    ((1, 512, 128, 128), 32),
    ((3, 320, 9, 7), 32),
    ((2, 16, 5, 3), 8),
    ((1, 128, 1, 1), 32),
]


def images(*shape: int, seed: int = 0, mean: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    offsets = mean * torch.randn(1, shape[1], 1, 1, generator=generator)
    x = torch.randn(shape, generator=generator) + offsets
    return x.to(CUDA).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int, groups: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-6, device=CUDA).requires_grad_(False)
    norm.weight.copy_(images(1, channels, 1, 1, seed=1).flatten())
    norm.bias.copy_(images(1, channels, 1, 1, seed=2).flatten())
    return norm


def expected(x: Tensor, norm: nn.GroupNorm, *, silu: bool) -> Tensor:
    weight, bias = norm.weight.double(), norm.bias.double()
    y = functional.group_norm(x.double(), norm.num_groups, weight, bias, norm.eps)
    return functional.silu(y) if silu else y


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    return float((actual.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_it_is_the_group_norm_of_the_biased_input(
    shape: tuple[int, ...], groups: int, silu: bool
) -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    x, norm = images(*shape), norm_of(shape[1], groups)
    bias = images(1, shape[1], 1, 1, seed=3)
    actual = group_norm(x, channel_moments(x), norm, silu=silu, bias=bias.flatten())
    assert actual.stride() == x.stride()
    assert relative_error(actual, expected(x + bias, norm, silu=silu)) < 2e-6


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_bfloat16_is_rounded_once(shape: tuple[int, ...], groups: int) -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    x, norm = images(*shape).bfloat16(), norm_of(shape[1], groups).bfloat16()
    wanted = expected(x, norm, silu=True)
    actual = group_norm(x, channel_moments(x), norm, silu=True)
    # A float32 intermediate may cross a tie; everything else is the nearest bfloat16.
    assert float((actual != wanted.to(torch.bfloat16)).double().mean()) < 1e-3


def test_a_large_mean_costs_no_digits() -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    x, norm = images(1, 128, 512, 512) + 3000.0, norm_of(128, 32)
    actual = group_norm(x, channel_moments(x), norm, silu=False)
    assert relative_error(actual, expected(x, norm, silu=False)) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_a_sum_in_place_and_its_moments(
    shape: tuple[int, ...], groups: int, dtype: torch.dtype
) -> None:
    from pixart_tui.engine.kernels.vae_norm import add_with_moments, channel_moments

    x, residual = images(*shape).to(dtype), images(*shape, seed=4).to(dtype)
    bias = images(1, shape[1], 1, 1, seed=3)
    wanted = (x.float() + residual.float() + bias).to(dtype)
    moments = add_with_moments(x, residual, bias.flatten())
    assert torch.equal(x, wanted)
    again = channel_moments(x)
    torch.testing.assert_close(moments.mean, again.mean)
    torch.testing.assert_close(moments.squares, again.squares)


def test_the_input_may_be_overwritten() -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    x, norm = images(2, 256, 31, 17), norm_of(256, 32)
    moments = channel_moments(x)
    apart = group_norm(x, moments, norm, silu=True)
    assert group_norm(x, moments, norm, silu=True, out=x) is x
    assert torch.equal(x, apart)


def test_nan_stays_in_its_group_of_its_image() -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    x, norm = images(2, 128, 16, 16), norm_of(128, 32)
    x[1, 5, 3, 3] = float("nan")
    actual = group_norm(x, channel_moments(x), norm, silu=True)
    spoilt = actual.isnan().flatten(2).any(2)
    assert spoilt.nonzero().tolist() == [[1, channel] for channel in range(4, 8)]


def test_other_memory_is_refused() -> None:
    from pixart_tui.engine.kernels.vae_norm import channel_moments

    with pytest.raises(ValueError, match="channels_last"):
        channel_moments(torch.zeros(1, 128, 4, 4, device=CUDA))


@pytest.mark.parametrize("columns", [1, 300, 16384, 40000])
def test_softmax_of_scaled_scores(columns: int) -> None:
    from pixart_tui.engine.kernels.softmax import scaled_softmax

    scores = 30 * images(1, 1, 7, columns)[0, 0].contiguous()
    wanted = torch.softmax(scores.double() * 0.3, -1)
    assert relative_error(scaled_softmax(scores, 0.3, torch.float32), wanted) < 1e-5
