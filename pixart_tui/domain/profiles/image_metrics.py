"""How far an image is from its reference: the definitions, which the engine applies to tensors.

Structural similarity is that of Wang et al. 2004: an 11 x 11 Gaussian window of sigma 1.5,
K1 = 0.01, K2 = 0.03, borders reflected, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from pixart_tui.domain.profiles.measurements import ImageSimilarity

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

C1: Final = 0.01**2
C2: Final = 0.03**2


def _window() -> Floats:
    weights: Floats = np.exp(-np.square(np.arange(-5, 6) / 1.5) / 2)
    normalized: Floats = weights / weights.sum()
    return normalized


WINDOW: Final = _window()
"""The weights of the window along one axis."""

# Arrays of numpy or tensors of torch, which this package does not know.
_Array = TypeVar("_Array", bound=Any)


def image_similarity(image: Pixels, reference: Pixels) -> ImageSimilarity:
    """Compares two images of one size, (height, width, 3), 6 pixels a side at least."""
    x, y = (np.moveaxis(pixels, -1, 0).astype(np.float64) / 255 for pixels in (image, reference))
    mse = float(np.square(x - y).mean())
    return ImageSimilarity(
        ssim=float(similarity_map(x, y, _blurred).mean()),
        psnr_db=10 * log10(1 / mse) if mse else None,
        mae=float(np.abs(x - y).mean()),
    )


def _blurred(images: list[Floats]) -> Floats:
    stacked = np.stack(images)
    for axis in (-1, -2):
        stacked = correlate1d(stacked, WINDOW, axis=axis, mode="mirror")
    return stacked


def similarity_map(x: _Array, y: _Array, blurred: Callable[[list[_Array]], _Array]) -> _Array:
    """The structural similarity of each pixel.

    Args:
        x: Images with values in [0, 1], in float64: single layers differ by 1e-6 and less.
        y: Their reference.
        blurred: Blurs several such images with the Gaussian window and stacks them.
    """
    mean_x, mean_y, square_x, square_y, product = blurred([x, y, x * x, y * y, x * y])
    variances = square_x - mean_x**2 + square_y - mean_y**2
    covariance = product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    contrast = (2 * covariance + C2) / (variances + C2)
    similarity: _Array = luminance * contrast
    return similarity
