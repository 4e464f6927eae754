"""How far an image is from its reference image."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from pixart_tui.domain.profiles.image_metrics import WINDOW, similarity_map


def ssim_per_image(images: Tensor, reference: Tensor) -> list[float]:
    """Structural similarity of each image to its reference, as ``profiles.image_metrics`` defines.

    The figures are those of torchmetrics in float64. Since torch convolves float64 slowly on a CPU,
    the window is applied as two matrix products.

    Args:
        images: (n, 3, height, width), values in [0, 1], 6 pixels a side at least.
        reference: The same shape.
    """
    x, y = images.double(), reference.double()
    rows, columns = (gaussian_window(size, x.device) for size in x.shape[-2:])
    similarity = similarity_map(x, y, lambda images: rows @ torch.stack(images) @ columns.T)
    return [float(value) for value in similarity.flatten(1).mean(dim=1)]


@lru_cache(maxsize=8)
def gaussian_window(size: int, device: torch.device) -> Tensor:
    """The Gaussian mean along one axis as a matrix, (size, size); borders are reflected."""
    offsets = torch.arange(-5, 6)
    places = (torch.arange(size)[:, None] + offsets).abs()
    places = torch.where(places < size, places, 2 * (size - 1) - places)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_add_(1, places, torch.from_numpy(WINDOW).expand(size, -1))
    return matrix.to(device)


def psnr_db_per_image(images: Tensor, reference: Tensor) -> list[float | None]:
    """Peak signal-to-noise ratio of each image in dB, None for equal images (infinite).

    Args:
        images: (n, 3, height, width), values in [0, 1].
        reference: The same shape.
    """
    return [
        None
        if torch.equal(image, other)
        else -10 * math.log10(mse_per_sample(image[None], other[None])[0])
        for image, other in zip(images, reference, strict=True)
    ]


def mse_per_sample(samples: Tensor, reference: Tensor) -> list[float]:
    """Mean squared difference of each sample, in float64.

    Args:
        samples: (n, ...).
        reference: The same shape.
    """
    difference = samples.double() - reference.double()
    return [float(value) for value in difference.square().flatten(1).mean(dim=1)]


def finite_per_sample(*tensors: Tensor) -> list[bool]:
    """Whether each sample is free of NaN and infinity in every one of the tensors.

    Args:
        tensors: Each (n, ...).
    """
    flags = torch.stack([t.isfinite().flatten(1).all(dim=1) for t in tensors])
    return [bool(flag) for flag in flags.all(dim=0)]
