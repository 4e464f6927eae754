"""Images as they are kept: 8 bits a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pixart_tui.domain.profiles.image_metrics import Pixels
from pixart_tui.domain.profiles.measurements import Comparison


@dataclass(frozen=True, slots=True)
class LayerImage:
    """An image that was made with one layer quantized.

    Attributes:
        layer: The layer.
        prompt: What it shows.
        seed: Of its initial noise.
        image: (height, width, 3).
        reference: The reference image, of the same shape.
    """

    layer: str
    prompt: str
    seed: int
    image: Pixels
    reference: Pixels


@dataclass(frozen=True, slots=True)
class ImagePair:
    """An image with a selection quantized, and its reference image.

    Attributes:
        comparison: How far they are from each other, as tensors; with prompt and seed.
        image: (height, width, 3).
        reference: The same shape.
    """

    comparison: Comparison
    image: Pixels
    reference: Pixels


KeepLayer = Callable[[LayerImage], None]
KeepPair = Callable[[ImagePair], None]


def keep_none(_image: LayerImage | ImagePair) -> None:
    """Drops the images."""


def to_pixels(image: Tensor) -> Pixels:
    """A finite image (3, height, width) in [0, 1] as (height, width, 3) with 8 bits a channel."""
    pixels: Pixels = image.permute(1, 2, 0).mul(255).round().byte().cpu().numpy()
    return pixels
