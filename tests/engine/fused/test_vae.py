"""The fused VAE decoder against diffusers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.fused.vae import FusedDecoder, attend, fuse_middle, fuse_vae
from pixart_tui.engine.loading.libraries import AutoencoderKL
from pixart_tui.engine.memory.strips import decode_in_strips, is_in_strips
from pixart_tui.engine.upsampling import upsampling_weight

CUDA = torch.device("cuda")


def vae_of(device: torch.device, channels: tuple[int, ...] = (32, 64, 64)) -> Any:
    """A small VAE with shortcuts, attention and biases that matter."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        norm_num_groups=8,
    )
    vae.eval().requires_grad_(False)
    for parameter in vae.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
    return vae.to(device)


def latents(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def relative_error(actual: Tensor, wanted: Tensor) -> float:
    return float((actual.double() - wanted.double()).norm() / wanted.double().norm())


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (4, 8)])
def test_enlarging_and_convolving_is_one_transposed_convolution(size: tuple[int, int]) -> None:
    x, weight = latents(2, 6, *size).double(), latents(7, 6, 3, 3).double()
    wanted = functional.conv2d(functional.interpolate(x, scale_factor=2.0), weight, padding=1)
    actual = functional.conv_transpose2d(x, upsampling_weight(weight), stride=2, padding=1)
    torch.testing.assert_close(actual, wanted)


def test_the_sums_of_weights_are_rounded_once() -> None:
    weight = latents(7, 6, 3, 3).bfloat16()
    exact = upsampling_weight(weight.double())
    assert torch.equal(upsampling_weight(weight), exact.bfloat16())


def test_a_bias_that_the_convolutions_leave_out_arrives_behind_the_shortcut() -> None:
    decoder = vae_of(torch.device("cpu")).decoder
    steps: list[Any] = list(FusedDecoder(decoder).steps)
    kinds = [type(step).__name__ for step in steps]
    behind = kinds.index("_Upsample", kinds.index("_Upsample") + 1) + 1
    block, missing = steps[behind].block, steps[behind - 1].bias
    x = latents(1, block.in_channels, 2, 2)
    wanted = block.conv_shortcut(x + missing[:, None, None]) + block.conv2.bias[:, None, None]
    bare = functional.conv2d(x, block.conv_shortcut.weight)
    torch.testing.assert_close(bare + steps[behind].bias[:, None, None], wanted)


def test_a_cpu_is_refused_and_the_decoder_left_alone() -> None:
    vae = vae_of(torch.device("cpu"))
    with pytest.raises(RequestError, match="CUDA"):
        fuse_vae(vae)
    assert not isinstance(vae.decoder.forward, FusedDecoder)


def test_a_decoder_with_unknown_parts_is_refused() -> None:
    decoder = vae_of(torch.device("cpu")).decoder
    decoder.up_blocks[1].resnets[0].output_scale_factor = 2.0
    with pytest.raises(RequestError, match="cannot be fused"):
        FusedDecoder(decoder)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (2, 4, 17, 23)])
def test_it_decodes_what_the_stock_decoder_does(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    vae, z = vae_of(CUDA), latents(*shape).to(CUDA)
    wanted = vae.decode(z, return_dict=False)[0]
    fuse_vae(vae)
    actual = vae.decode(z, return_dict=False)[0]
    assert actual.shape == wanted.shape
    assert relative_error(actual, wanted) < 5e-5


@pytest.mark.gpu
def test_bfloat16_is_no_further_from_float32_than_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    vae = vae_of(CUDA, (128, 256, 512)).bfloat16()
    z = latents(1, 4, 48, 48).to(CUDA, torch.bfloat16)
    wanted = vae.float().decode(z.float(), return_dict=False)[0]
    vae.bfloat16()
    stock = relative_error(vae.decode(z, return_dict=False)[0], wanted)
    fuse_vae(vae)
    assert relative_error(vae.decode(z, return_dict=False)[0], wanted) < 1.1 * stock


@pytest.mark.gpu
def test_a_graph_replays_it() -> None:
    vae = vae_of(CUDA).bfloat16()
    fuse_vae(vae)
    z = latents(1, 4, 16, 16).to(CUDA, torch.bfloat16)
    wanted = vae.decode(z, return_dict=False)[0]
    kept = torch.zeros_like(z)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        out = vae.decode(kept, return_dict=False)[0]
    kept.copy_(z)
    graph.replay()
    torch.testing.assert_close(out, wanted, rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 77, 1024])
def test_attention_in_parts(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixart_tui.engine.fused.vae._SCORE_BYTES", 4 * tokens * 100)
    q, k, v = latents(3, tokens, 512).to(CUDA, torch.bfloat16).unbind()
    exact = [x.double() for x in (q, k, v)]
    wanted = torch.softmax(exact[0] @ exact[1].t() / 512**0.5, -1) @ exact[2]
    with torch.no_grad():
        assert relative_error(attend(q, k, v), wanted) < 6e-3


@pytest.mark.gpu
@torch.no_grad()
def test_strips_with_the_fused_middle_are_as_near_to_float32() -> None:
    exact = vae_of(CUDA)
    sample = latents(1, 4, 24, 16).to(CUDA)
    wanted = exact.decode(sample).sample
    vae = vae_of(CUDA).bfloat16()
    decode_in_strips(vae, 512)
    stock = relative_error(vae.decode(sample.bfloat16()).sample, wanted)
    fuse_middle(vae)
    assert is_in_strips(vae)
    assert 0 < relative_error(vae.decode(sample.bfloat16()).sample, wanted) < 1.2 * stock
