"""1 - SSIM near an image: a quadratic form of the difference, exact to second order.

For a difference d of an image x, with m and v the Gaussian window's mean and variance, SSIM's
luminance is 1 - m(d)^2 / (2 m(x)^2 + C1) and its contrast is 1 - v(d) / (2 v(x) + C2), each to
second order. Their losses add, and v(d) = m(d^2) - m(d)^2, so that the loss is a weighted sum of
squares of d and of m(d). What is bilinear in two differences says how they meet: the loss of their
sum is the sum of their losses and of twice their product.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.profiles.image_metrics import C1, C2
from pixart_tui.engine.image_metrics import gaussian_window

_BUCKETS: Final = 8192
_SIGNS: Final = (1.0, 1.0, -1.0)


class SsimForm:
    """The form around some reference images.

    Differences are kept as count sketches (Charikar, Chen and Farach-Colton 2002), whose inner
    products are those of the differences, so that hundreds of layers fit into the memory whatever
    the size of the images: each product is off by 1% of the two lengths, at random.

    Args:
        images: (n, 3, height, width), values in [0, 1].
        first: The place of the first image in its set, so that each image is hashed in its own way.
    """

    def __init__(self, images: Tensor, first: int = 0) -> None:
        x = images.double()
        self._rows, self._columns = (gaussian_window(size, x.device) for size in x.shape[-2:])
        mean = self._mean(x)
        contrast = 1 / (2 * (self._mean(x * x) - mean**2).clamp_min(0) + C2)
        luminance = 1 / (2 * mean**2 + C1)
        spread = self._rows.T @ contrast @ self._columns
        self._weights = torch.stack([spread, luminance, contrast]).sqrt() / x[0].numel() ** 0.5
        self._hashes = [_hash(x[0].numel(), first + i, x.device) for i in range(len(x))]

    def sketch(self, difference: Tensor) -> Tensor:
        """What products are made of, (n, 3, buckets), float32, on the CPU.

        Args:
            difference: (n, 3, height, width), disturbed minus reference.
        """
        d = difference.double()
        mean = self._mean(d)
        parts = (self._weights * torch.stack([d, mean, mean])).flatten(2).transpose(0, 1)
        pairs = zip(parts, self._hashes, strict=True)
        return torch.stack([_sketch(part, *hashed) for part, hashed in pairs]).float().cpu()

    def _mean(self, x: Tensor) -> Tensor:
        return self._rows @ x @ self._columns.T


def products(sketches: Tensor) -> Tensor:
    """How each two differences meet, averaged over the images: (m, m), in 1 - SSIM.

    Args:
        sketches: (m, n, 3, buckets), one for each difference of n images.
    """
    signs = torch.tensor(_SIGNS).repeat_interleave(sketches.shape[-1])
    total = torch.zeros(len(sketches), len(sketches), dtype=torch.float64)
    for image in sketches.unbind(1):
        rows = image.flatten(1).double()
        total += (rows * signs) @ rows.T
    return total / sketches.shape[1]


def _hash(size: int, image: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator("cpu").manual_seed(image)
    buckets = torch.randint(_BUCKETS, (size,), generator=generator)
    signs = torch.randint(2, (size,), generator=generator) * 2.0 - 1.0
    return buckets.to(device), signs.double().to(device)


def _sketch(part: Tensor, buckets: Tensor, signs: Tensor) -> Tensor:
    empty = torch.zeros(len(part), _BUCKETS, dtype=part.dtype, device=part.device)
    return empty.index_add_(1, buckets, part * signs)
