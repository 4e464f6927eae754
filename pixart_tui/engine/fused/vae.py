"""AutoencoderKL's decoder in channels_last memory, few passes over it between convolutions.

What it does instead of the stock modules, to the same values but for rounding:

* Group norm and SiLU are two kernels, and the statistics of a block's output are taken while the
  residual is added (``engine.kernels.vae_norm``).
* cuDNN adds a bias in a pass of its own. Here the next operation takes it in: the group norm's
  statistics, or the residual sum; through a shortcut it goes multiplied by the shortcut's weights.
* Upsampling (nearest, by 2) and the 3 x 3 convolution after it are one transposed convolution of
  4 x 4 weights and stride 2: each output pixel sees 2 x 2 inputs, so 4 products for 9, and no
  enlarged copy.
* Attention has one head as wide as the image has channels (512), which memory-efficient attention
  serves slowly: scores, softmax and values are matrix products, some thousand queries at a time.

At 1024 x 1024 that is 8.4 TFLOP of convolutions (9.9 stock), 0.6 of attention, and 14 GB moved by
everything else. The largest tensors, 1024 x 1024 x 256, have 512 MiB; at most 1.25 GiB of
activations are held in bfloat16, beside cuDNN's workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.typing import Attention, Decoder, ResnetBlock, Vae
from pixart_tui.engine.upsampling import is_plain_upsampler, upsampling_weight

if TYPE_CHECKING:
    from pixart_tui.engine.kernels.vae_norm import Moments


_SCORE_BYTES: Final = 256 * 2**20
"""Attention scores that are held at a time."""
_OUTPUT_CHANNELS: Final = 8
"""cuDNN's fast kernels want channels in eights."""


def fuse_vae(vae: Vae) -> None:
    """Has a VAE's decoder run by fused kernels; its modules, names and parameters stay.

    The weights are put into channels_last memory. Decoding waits for nothing on the device and can
    be captured as a CUDA graph.

    Args:
        vae: ``AutoencoderKL`` on a CUDA device, in the dtype in which it will decode.

    Raises:
        RequestError: The VAE is on another device, or its decoder has parts not known here.
    """
    device = vae.decoder.conv_in.weight.device
    if device.type != "cuda":
        raise RequestError(
            "the fused VAE decoder needs a CUDA device",
            cause=f"this VAE is on {device}",
            next_step="Decode with the stock VAE.",
        )
    vae.decoder.to(memory_format=torch.channels_last)
    vae.decoder.forward = FusedDecoder(vae.decoder)


def fuse_middle(vae: Vae) -> None:
    """Has a VAE that decodes in strips run its small tensors by the fused kernels."""
    vae.decoder.forward = replace(vae.decoder.forward, middle=FusedMiddle(vae.decoder))


@dataclass(frozen=True, slots=True)
class _Image:
    """The tensors that one step hands to the next.

    Attributes:
        x: (images, channels, height, width), channels_last.
        bias: (channels,), still to be added to ``x``; None for nothing.
        moments: Those of ``x``, where they are known.
    """

    x: Tensor
    bias: Tensor | None = None
    moments: Moments | None = None


_Step: TypeAlias = Callable[[_Image], _Image]


class FusedDecoder:
    """The forward of a decoder.

    Attributes:
        steps: What is done between the first convolution and the last norm.
    """

    def __init__(self, decoder: Decoder) -> None:
        _check(decoder)
        self._decoder = decoder
        self.steps = [*_middle_steps(decoder), *_up_steps(decoder)]
        self._last_weight = _padded(decoder.conv_out.weight)

    @torch.no_grad()
    def __call__(self, sample: Tensor, latent_embeds: None = None) -> Tensor:
        """Decodes latents.

        Args:
            sample: (images, latent channels, height, width).
            latent_embeds: Not used; decoders that take them are refused.

        Returns:
            (images, 3, 8 height, 8 width), channels_last.
        """
        last = self._decoder.conv_out
        image = _stepped(sample, self._decoder.conv_in, self.steps)
        x = _normalized(image, self._decoder.conv_norm_out, silu=True, out=image.x)
        padded = functional.conv2d(x, self._last_weight, None, last.stride, last.padding)
        pixels: Tensor = padded[:, : last.out_channels] + last.bias[:, None, None]
        return pixels


class FusedMiddle:
    """The first convolution and the middle block of a decoder, as `FusedDecoder` runs them."""

    def __init__(self, decoder: Decoder) -> None:
        _check(decoder)
        self._first = decoder.conv_in
        self._steps = list(_middle_steps(decoder))

    def __call__(self, sample: Tensor) -> Tensor:
        """(images, latent channels, height, width) -> (images, channels, height, width)."""
        return _stepped(sample, self._first, self._steps).x


@dataclass(frozen=True, slots=True)
class _Resnet:
    """A ``ResnetBlock2D``; all biases that its output lacks are in ``bias``."""

    block: ResnetBlock
    bias: Tensor

    def __call__(self, image: _Image) -> _Image:
        from pixart_tui.engine.kernels.vae_norm import add_with_moments

        block, residual, free = self.block, image.x, None
        if block.conv_shortcut is not None:
            # Nothing else reads the input: the norm may overwrite it.
            residual, free = _convolved(image.x, block.conv_shortcut), image.x
        x = _normalized(image, block.norm1, silu=True, out=free)
        x = _convolved(x, block.conv1)
        x = _normalized(_Image(x, block.conv1.bias), block.norm2, silu=True, out=x)
        x = _convolved(x, block.conv2)
        return _Image(x, None, add_with_moments(x, residual, self.bias))


@dataclass(frozen=True, slots=True)
class _SelfAttention:
    """An ``Attention`` of one head over all pixels of an image.

    Attributes:
        attention: The module.
        weight: Those of queries, keys and values, one below the other.
        bias: Their biases.
        nothing: A bias of zeros for the residual sum: a linear adds its own for free.
    """

    attention: Attention
    weight: Tensor
    bias: Tensor
    nothing: Tensor

    def __call__(self, image: _Image) -> _Image:
        from pixart_tui.engine.kernels.vae_norm import add_with_moments

        images, channels, height, width = image.x.shape
        x = _normalized(image, self.attention.group_norm, silu=False)
        qkv = functional.linear(x.permute(0, 2, 3, 1).flatten(1, 2), self.weight, self.bias)
        attended = torch.stack([attend(*one.chunk(3, dim=-1)) for one in qkv])
        out = self.attention.to_out[0](attended)
        out = out.view(images, height, width, channels).permute(0, 3, 1, 2)
        return _Image(out, None, add_with_moments(out, image.x, self.nothing))


@dataclass(frozen=True, slots=True)
class _Upsample:
    """An ``Upsample2D`` with its convolution.

    Attributes:
        weight: Of ``upsampling_weight``.
        bias: Of the convolution; the next step takes it in.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, image: _Image) -> _Image:
        return _Image(
            functional.conv_transpose2d(image.x, self.weight, stride=2, padding=1), self.bias
        )


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one head of any width; scores are float32.

    For N tokens of width D: 4 N^2 D operations, and N^2 scores written and read twice.

    Args:
        q: Queries, (tokens, width).
        k: Keys, same shape.
        v: Values, same shape.
    """
    from pixart_tui.engine.kernels.softmax import scaled_softmax

    tokens, width = q.shape
    out = torch.empty(tokens, width, device=q.device, dtype=q.dtype)
    rows = max(1, min(tokens, _SCORE_BYTES // (4 * tokens)))
    for start in range(0, tokens, rows):
        some = slice(start, start + rows)
        shares = scaled_softmax(_scores(q[some], k), width**-0.5, q.dtype)
        torch.mm(shares, v, out=out[some])
    return out


def _scores(q: Tensor, k: Tensor) -> Tensor:
    if q.dtype is torch.float32:
        return q @ k.t()
    return torch.mm(q, k.t(), out_dtype=torch.float32)


def _convolved(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The convolution without its bias."""
    return functional.conv2d(x, conv.weight, None, conv.stride, conv.padding)


def _normalized(
    image: _Image, norm: nn.GroupNorm, *, silu: bool, out: Tensor | None = None
) -> Tensor:
    from pixart_tui.engine.kernels.vae_norm import channel_moments, group_norm

    moments = image.moments or channel_moments(image.x)
    return group_norm(image.x, moments, norm, silu=silu, bias=image.bias, out=out)


def _padded(weight: Tensor) -> Tensor:
    missing = -len(weight) % _OUTPUT_CHANNELS
    padded = functional.pad(weight.detach(), (0, 0) * 3 + (0, missing))
    return padded.contiguous(memory_format=torch.channels_last)


def _stepped(sample: Tensor, first: nn.Conv2d, steps: Sequence[_Step]) -> _Image:
    sample = sample.contiguous(memory_format=torch.channels_last)
    image = _Image(_convolved(sample, first), first.bias)
    for step in steps:
        image = step(image)
    return image


def _middle_steps(decoder: Decoder) -> Iterator[_Step]:
    middle = decoder.mid_block
    yield _resnet(middle.resnets[0], decoder.conv_in.bias)
    for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
        if attention is not None:
            yield _self_attention(attention)
        yield _resnet(resnet, None)


def _up_steps(decoder: Decoder) -> Iterator[_Step]:
    missing = None
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            yield _resnet(resnet, missing)
            missing = None
        for upsampler in block.upsamplers or ():
            missing = upsampler.conv.bias
            yield _Upsample(upsampling_weight(upsampler.conv.weight), missing)


def _resnet(block: ResnetBlock, missing: Tensor | None) -> _Resnet:
    """A block whose input lacks a bias."""
    bias = block.conv2.bias.detach().float()
    shortcut = block.conv_shortcut
    if missing is not None:
        missing = missing.detach().float()
        if shortcut is not None:
            missing = (shortcut.weight.detach().float()[:, :, 0, 0] * missing).sum(1)
        bias = bias + missing
    if shortcut is not None and shortcut.bias is not None:
        bias = bias + shortcut.bias.detach().float()
    return _Resnet(block, bias)


def _self_attention(attention: Attention) -> _SelfAttention:
    linears = (attention.to_q, attention.to_k, attention.to_v)
    return _SelfAttention(
        attention,
        torch.cat([linear.weight.detach() for linear in linears]),
        torch.cat([linear.bias.detach() for linear in linears]),
        torch.zeros_like(attention.to_out[0].bias, dtype=torch.float32),
    )


def _check(decoder: Decoder) -> None:
    blocks = [decoder.mid_block, *decoder.up_blocks]
    known = (
        isinstance(decoder.conv_norm_out, nn.GroupNorm)
        and isinstance(decoder.conv_act, nn.SiLU)
        and all(_is_known_resnet(resnet) for block in blocks for resnet in block.resnets)
        and all(_is_known_attention(attention) for attention in decoder.mid_block.attentions)
        and all(
            is_plain_upsampler(upsampler)
            for block in decoder.up_blocks
            for upsampler in block.upsamplers or ()
        )
    )
    if not known:
        raise RequestError(
            "this VAE cannot be fused",
            cause="its decoder is not that of AutoencoderKL with group norm and SiLU",
            next_step="Decode with the stock VAE.",
        )


def _is_known_resnet(block: ResnetBlock) -> bool:
    return (
        isinstance(block.norm1, nn.GroupNorm)
        and isinstance(block.norm2, nn.GroupNorm)
        and isinstance(block.nonlinearity, nn.SiLU)
        and block.time_emb_proj is None
        and block.upsample is None
        and block.downsample is None
        and block.output_scale_factor == 1
    )


def _is_known_attention(attention: Attention | None) -> bool:
    return attention is None or (
        attention.heads == 1
        and isinstance(attention.group_norm, nn.GroupNorm)
        and attention.spatial_norm is None
        and attention.to_q.bias is not None
        and attention.residual_connection
        and attention.rescale_output_factor == 1
    )
