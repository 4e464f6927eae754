"""Decoding an image exactly, its large tensors in horizontal strips.

A convolution of 3x3 reads one more row above and below, and a group norm needs statistics over the
whole image: so each is computed strip by strip, once the statistics are known. What exists in full
size, for the Stable Diffusion VAE (128 channels in its last stage, C bytes a value):

* the last stage: hidden state and output of a residual block, 2 x 128 C per pixel of the image,
  and the input of the stage before its upsampling, 64 C. The upsampled input (256 channels) is the
  largest tensor of the decoder; it is computed twice, strip by strip, and never kept;
* the stages before: at most as much.

With bfloat16 and 1024x1024 that is 640 MiB and a strip's temporaries, where decoding whole takes
2.4 GiB. The price is one transposed convolution done twice, and many small kernels for a few large
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.memory.group_norm import Affine, group_norm_affine, normalize_silu
from pixart_tui.engine.typing import Decoder, ResnetBlock, Upsampler, Vae
from pixart_tui.engine.upsampling import is_plain_upsampler, upsampling_weight

STRIP_PIXELS: Final = 65536
"""Pixels of a strip: enough to fill a GPU with the tiles of one convolution."""

_FEWEST_ROWS: Final = 8


def decode_in_strips(vae: Vae, strip_pixels: int = STRIP_PIXELS) -> None:
    """Has an ``AutoencoderKL`` decode one image at a time and each in strips; changed in place.

    The decoder stays eager when it is compiled: its strips would be one graph of thousands of
    nodes.

    Raises:
        RequestError: The decoder has parts that are not known here.
    """
    _check(vae.decoder)
    vae.enable_slicing()
    vae.decoder.to(memory_format=torch.channels_last)
    decoder = vae.decoder
    enlarging = {
        upsampler: (upsampling_weight(upsampler.conv.weight), upsampler.conv.bias)
        for block in decoder.up_blocks
        for upsampler in block.upsamplers or ()
    }
    decoder.forward = StripDecoding(decoder, strip_pixels, _stock_middle(decoder), enlarging)


def is_in_strips(vae: Vae) -> bool:
    """Whether a VAE decodes in strips, so that a compiler leaves it alone."""
    return isinstance(vae.decoder.forward, StripDecoding)


@dataclass(frozen=True, slots=True)
class StripDecoding:
    """The forward of a decoder, in strips.

    Attributes:
        decoder: diffusers' ``Decoder``.
        strip_pixels: Pixels of a strip, rounded down to whole rows.
        middle: What comes before the stages that enlarge, (1, latent channels, h, w) to
            (1, channels, h, w); small tensors, computed whole.
        enlarging: Weight and bias of each upsampler's transposed convolution.
    """

    decoder: Decoder
    strip_pixels: int
    middle: Callable[[Tensor], Tensor]
    enlarging: Mapping[Upsampler, tuple[Tensor, Tensor]]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def __call__(self, sample: Tensor, latent_embeds: None = None) -> Tensor:
        """Decodes.

        Args:
            sample: (n, channels, h, w), after the VAE's ``post_quant_conv``.
            latent_embeds: Not used; decoders that take them are refused.

        Returns:
            (n, 3, 8 h, 8 w), in the dtype of ``sample``.
        """
        return torch.cat([self._decode(latents) for latents in torch.split(sample, 1)])

    def _decode(self, latents: Tensor) -> Tensor:
        decoder = self.decoder
        middle = self.middle(latents)
        rows: _Rows = self._kept(middle.contiguous(memory_format=torch.channels_last))
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                rows = self._resnet(resnet, rows)
            for upsampler in block.upsamplers or ():
                below = rows.rows(0, rows.height)
                rows = _Upsampled(below, *self.enlarging[upsampler], self.strip_pixels)
                if block is not decoder.up_blocks[-2]:
                    rows = self._kept(rows.rows(0, rows.height))
        affine = group_norm_affine(decoder.conv_norm_out, _pieces(rows))
        strips = (_convolved(decoder.conv_out, rows, affine, *span) for span in _spans(rows))
        return torch.cat(list(strips), dim=2)

    def _kept(self, tensor: Tensor) -> _Kept:
        return _Kept(tensor, self.strip_pixels)

    def _resnet(self, resnet: ResnetBlock, source: _Rows) -> _Kept:
        """A residual block, ``shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))))))``."""
        first = group_norm_affine(resnet.norm1, _pieces(source))
        hidden = self._empty(resnet.conv1, source)
        output = self._shortcut_room(resnet, source)
        for start, stop in _spans(source):
            low, high = _with_halo(start, stop, source.height)
            strip = source.rows(low, high)
            inner = slice(start - low, stop - low)
            normed = normalize_silu(strip, first)
            hidden.tensor[:, :, start:stop] = resnet.conv1(normed)[:, :, inner]
            if output is not source:
                shortcut = resnet.conv_shortcut or nn.Identity()
                output.tensor[:, :, start:stop] = shortcut(strip[:, :, inner])
        second = group_norm_affine(resnet.norm2, _pieces(hidden))
        for start, stop in _spans(source):
            residual = _convolved(resnet.conv2, hidden, second, start, stop)
            output.tensor[:, :, start:stop].add_(residual)
        return output

    def _shortcut_room(self, resnet: ResnetBlock, source: _Rows) -> _Kept:
        """Where the block's output is summed up: in its input, if that is kept and has its shape.

        The first convolutions are done before anything is added, so they read the input as it was.
        """
        if isinstance(source, _Kept) and resnet.conv_shortcut is None:
            return source
        return self._empty(resnet.conv2, source)

    def _empty(self, conv: nn.Conv2d, source: _Rows) -> _Kept:
        """Room for what a convolution makes of an image, (1, out_channels, h, w)."""
        shape = (1, conv.out_channels, source.height, source.width)
        weight = conv.weight
        room = torch.empty(
            shape, dtype=weight.dtype, device=weight.device, memory_format=torch.channels_last
        )
        return self._kept(room)


class _Rows(Protocol):
    """An image-shaped tensor that gives its rows, (1, c, stop - start, width)."""

    @property
    def height(self) -> int:
        """Rows in all."""
        ...

    @property
    def width(self) -> int:
        """Values of a row."""
        ...

    def rows(self, start: int, stop: int) -> Tensor:
        """Some of them."""
        ...

    @property
    def strip_pixels(self) -> int:
        """Pixels of a strip."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """A tensor that exists, (1, c, h, w)."""

    tensor: Tensor
    strip_pixels: int

    @property
    def height(self) -> int:
        return self.tensor.shape[2]

    @property
    def width(self) -> int:
        return self.tensor.shape[3]

    def rows(self, start: int, stop: int) -> Tensor:
        return self.tensor[:, :, start:stop]


@dataclass(frozen=True, slots=True)
class _Upsampled:
    """Twice as many rows and columns and a convolution over them, computed when asked for.

    Attributes:
        below: What is enlarged.
        weight: Of ``upsampling_weight``.
        bias: Of the convolution.
        strip_pixels: Pixels of a strip.
    """

    below: Tensor
    weight: Tensor
    bias: Tensor
    strip_pixels: int

    @property
    def height(self) -> int:
        return 2 * self.below.shape[2]

    @property
    def width(self) -> int:
        return 2 * self.below.shape[3]

    def rows(self, start: int, stop: int) -> Tensor:
        # Row i reaches rows 2 i - 1 to 2 i + 2: the first and the last row of what is made here
        # lack a part unless the image ends there, and are cut off.
        low, high = max((start - 1) // 2, 0), min(stop // 2 + 1, self.below.shape[2])
        strip = self.below[:, :, low:high]
        doubled = functional.conv_transpose2d(strip, self.weight, self.bias, stride=2, padding=1)
        return doubled[:, :, start - 2 * low : stop - 2 * low]


def _stock_middle(decoder: Decoder) -> Callable[[Tensor], Tensor]:
    def middle(latents: Tensor) -> Tensor:
        output: Tensor = decoder.mid_block(decoder.conv_in(latents))
        return output

    return middle


def _spans(source: _Rows) -> Iterator[tuple[int, int]]:
    """First row and end of each strip."""
    rows, height = max(_FEWEST_ROWS, source.strip_pixels // source.width), source.height
    return ((start, min(start + rows, height)) for start in range(0, height, rows))


def _with_halo(start: int, stop: int, height: int) -> tuple[int, int]:
    return max(start - 1, 0), min(stop + 1, height)


def _pieces(source: _Rows) -> Iterator[Tensor]:
    return (source.rows(start, stop) for start, stop in _spans(source))


def _convolved(conv: nn.Module, source: _Rows, affine: Affine, start: int, stop: int) -> Tensor:
    """Rows of ``conv(silu(norm(source)))``.

    The convolution's own padding stands where the image ends; elsewhere the rows that saw it are
    cut off.
    """
    low, high = _with_halo(start, stop, source.height)
    convolved: Tensor = conv(normalize_silu(source.rows(low, high), affine))
    return convolved[:, :, start - low : stop - low]


def _check(decoder: Decoder) -> None:
    blocks, resnets = list(decoder.up_blocks), []
    for block in blocks:
        resnets += list(getattr(block, "resnets", ()))
    known = (
        len(blocks) > 1
        and all(type(block).__name__ == "UpDecoderBlock2D" for block in blocks)
        and all(_is_plain(resnet) for resnet in resnets)
        and all(is_plain_upsampler(x) for block in blocks for x in block.upsamplers or ())
        and isinstance(decoder.conv_norm_out, nn.GroupNorm)
    )
    if not known:
        raise RequestError(
            "this VAE cannot be decoded in strips",
            cause="its decoder is not that of AutoencoderKL with group norm and SiLU",
            next_step="use --vae tiled",
        )


def _is_plain(resnet: ResnetBlock) -> bool:
    return (
        type(resnet).__name__ == "ResnetBlock2D"
        and isinstance(resnet.nonlinearity, nn.SiLU)
        and resnet.time_emb_proj is None
        and resnet.upsample is None
        and resnet.downsample is None
        and resnet.output_scale_factor == 1
    )
