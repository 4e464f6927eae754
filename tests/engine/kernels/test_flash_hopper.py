"""The Hopper attention kernels against torch in float32."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.quant.attention import reference_fp8_attention

CUDA = torch.device("cuda")
Size: TypeAlias = tuple[int, int, int, int, int]
# Images, queries, keys, heads, head size.
SIZES = [
    (1, 512, 512, 16, 72),
    (2, 4096, 4096, 16, 72),  # PixArt's: 1024 jobs
    (2, 1024, 1024, 16, 72),  # 256 jobs, more than multiprocessors and no multiple of them
    (1, 256, 4096, 2, 72),  # 4 jobs: most multiprocessors have none
    (2, 4000, 4000, 4, 72),  # tiles that are not full
    (2, 1000, 1000, 4, 72),
    (1, 300, 77, 4, 72),  # one tile of keys
    (2, 4096, 77, 16, 72),  # one tile of keys, several jobs a program
    (1, 77, 4000, 4, 72),
    (1, 1, 1, 1, 72),
    (2, 300, 1, 3, 72),
    (1, 1, 300, 3, 72),
    (1, 1000, 1000, 4, 64),  # no tail
    (1, 200, 500, 2, 112),
    (1, 130, 257, 3, 128),
    (1, 200, 300, 3, 40),
]


_HAS_GPU = torch.cuda.is_available()
_IS_HOPPER = _HAS_GPU and torch.cuda.get_device_capability() == (9, 0)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(_HAS_GPU and not _IS_HOPPER, reason="needs compute capability 9.0"),
]


def views(b: int, m: int, n: int, h: int, d: int, gain: float = 1.0) -> tuple[Tensor, ...]:
    """Queries, keys and values as a fused projection leaves them."""
    generator = torch.Generator().manual_seed(0)
    fused = torch.randn(b, max(m, n), 3, h, d, generator=generator).bfloat16().to(CUDA)
    fused[:, :, 0] *= gain
    q, k, v = fused.unbind(2)
    return q[:, :m], k[:, :n], v[:, :n]


def growing(b: int, m: int, n: int, h: int, d: int) -> tuple[Tensor, ...]:
    """Large scores, larger ones for the first keys: tiles are taken last to first."""
    q, k, v = views(b, m, n, h, d, gain=8.0)
    k[:, : n // 2] *= 1.5
    return q, k, v


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2).float() for x in (q, k, v))
    scores = q @ k.mT * q.shape[-1] ** -0.5
    return (torch.softmax(scores, -1) @ v).transpose(1, 2)


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got.float() - want).norm() / want.norm())


def nan_like(q: Tensor) -> Tensor:
    return torch.full(q.shape, float("nan"), dtype=torch.bfloat16, device=q.device)


def rows_of_16_bytes(x: Tensor) -> Tensor:
    """An e4m3 copy whose rows start at multiples of 16 bytes."""
    wide = functional.pad(x.float(), (0, -x.shape[-1] % 16))
    return wide.to(torch.float8_e4m3fn)[..., : x.shape[-1]]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_agrees_with_torch_and_writes_every_element(size: Size) -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention

    q, k, v = views(*size)
    out = nan_like(q)
    flash_attention(q, k, v, out, scale=size[-1] ** -0.5)
    assert relative_error(out, attention(q, k, v)) < 3e-3


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fp8_agrees_with_torch_on_the_same_rounded_tensors(size: Size) -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention_fp8, permute_keys

    q, k, v = (rows_of_16_bytes(x) for x in views(*size))
    out = nan_like(q)
    flash_attention_fp8(q, k, permute_keys(v), out, scale=size[-1] ** -0.5, value_scale=0.5)
    want = 0.5 * attention(*(x.bfloat16() for x in (q, k, v)))
    # Probabilities of 4 bits: 2^-4 at most, each element of the output averages many.
    assert relative_error(out, want) < 0.04


@pytest.mark.parametrize("size", [(1, 256, 2048, 2, 72), (2, 1024, 1024, 16, 72)], ids=str)
def test_large_scores_and_maxima_that_grow_along_the_way(size: Size) -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention

    q, k, v = growing(*size)
    out = flash_attention(q, k, v, scale=72**-0.5)
    assert relative_error(out, attention(q, k, v)) < 5e-3


@pytest.mark.parametrize("v_gain", [40.0, 400.0])
@pytest.mark.parametrize("tokens", [4000, 1024, 77, 1])
def test_fp8_with_large_scores_and_values_some_of_which_saturate(
    tokens: int, v_gain: float
) -> None:
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    q, k, v = growing(2, tokens, tokens, 16, 72)
    v *= v_gain
    out = fp8_attention(q, k, v, scale=72**-0.5)
    want = attention(*(x.float().clamp(-448, 448).to(torch.float8_e4m3fn) for x in (q, k, v)))
    assert relative_error(out, want) < 0.04


def test_views_of_one_projection_give_what_copies_give() -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    for function in (flash_attention, fp8_attention):
        q, k, v = views(2, 1000, 1000, 4, 72)
        copies = [x.contiguous() for x in (q, k, v)]
        assert q.stride() != copies[0].stride()
        found, expected = (function(*x, scale=72**-0.5) for x in ((q, k, v), copies))
        assert torch.equal(found, expected)


def test_nothing_beyond_the_tensors_is_read() -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention

    q, k, v = views(1, 300, 300, 2, 72)
    fenced = [
        functional.pad(x, (0, 8, 0, 0, 0, 100), value=float("nan"))[:, :300, :, :72]
        for x in (q, k, v)
    ]
    out = flash_attention(*fenced, scale=72**-0.5)
    assert relative_error(out, attention(q, k, v)) < 3e-3


def test_refuses_other_dtypes() -> None:
    from pixart_tui.engine.kernels.flash_attention import flash_attention

    q = torch.zeros(1, 8, 1, 72, dtype=torch.float16, device=CUDA)
    with pytest.raises(RequestError, match="float16"):
        flash_attention(q, q, q, scale=1.0)


@pytest.mark.parametrize("tokens", [4096, 4000, 77, 1])
@pytest.mark.parametrize(("heads", "width"), [(16, 72), (3, 64), (2, 112), (3, 128), (3, 40)])
def test_heads_are_rounded_and_laid_out_as_the_kernel_reads_them(
    tokens: int, heads: int, width: int
) -> None:
    from pixart_tui.engine.kernels.flash_attention import permute_keys
    from pixart_tui.engine.kernels.quantize_heads import quantize_heads

    q, k, v = views(2, tokens, tokens, heads, width, gain=200.0)
    v *= 200.0
    found = quantize_heads(q, k, v)
    expected = [x.float().clamp(-448, 448).to(torch.float8_e4m3fn) for x in (q, k, v)]
    for codes, wanted in zip(found, (*expected[:2], permute_keys(expected[2])), strict=True):
        assert torch.equal(codes.float(), wanted.float())


def test_a_hundred_inputs_give_no_nan_in_fp8() -> None:
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    finite = torch.ones((), dtype=torch.bool, device=CUDA)
    for seed in range(100):
        generator = torch.Generator("cuda").manual_seed(seed)
        fused = torch.randn(1, 256, 3, 4, 72, generator=generator, device=CUDA) * 2.0 ** (seed % 9)
        q, k, v = fused.bfloat16().unbind(2)
        finite &= fp8_attention(q, k, v, scale=72**-0.5).isfinite().all()
    assert bool(finite)


@pytest.mark.parametrize("width", [72, 64, 128, 40])
@pytest.mark.parametrize("tokens", [4096, 4000, 1024, 200, 77, 1])
def test_fp8_is_what_the_reference_of_its_numerics_gives(tokens: int, width: int) -> None:
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    q, k, v = views(2, tokens, tokens, 4, width, gain=2.0)
    found = fp8_attention(q, k, v, scale=width**-0.5)
    expected = reference_fp8_attention(q, k, v, scale=width**-0.5)
    exact = attention(q, k, v)
    # What is left: the output in bfloat16, sums at the precision of the fp8 tensor cores, and
    # probabilities that the kernel's power of two puts on the other side of a tie.
    assert relative_error(found, expected) < 8e-3
    # The local error itself, which is what a profile multiplies with gradients.
    if tokens > 1:
        errors = found.float() - exact, expected - exact
        assert relative_error(*errors) < 0.3
