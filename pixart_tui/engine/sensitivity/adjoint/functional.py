"""Random linear functionals of an image whose mean square is 1 - SSIM.

For a small change D of an image x, 1 - SSIM = sum over windows and channels w of
a_w m_w(D)^2 + b_w v_w(D), with m_w and v_w the Gaussian windowed mean and variance,
a_w = 1 / (W (2 m_w(x)^2 + C1)), b_w = 1 / (W (2 v_w(x) + C2)) and W the number of windows times
channels: the second-order expansion of Wang et al. 2004. With one standard normal z for each pixel
of the padded image and independent signs s, s' for each window,

    f(D) = sum_w s'_w sqrt(a_w) m_w(D) + sum_w s_w sqrt(b_w) sum_p sqrt(g_p) z_p (D_p - m_w(D))

has E f(D)^2 = 1 - SSIM, because the signs of different windows are independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pixart_tui.domain.profiles.image_metrics import C1, C2, WINDOW
from pixart_tui.engine.image_metrics import gaussian_window

_REACH = len(WINDOW) // 2


def functional_gradients(image: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
    """The gradient of each random functional with respect to the image, which it is linear in.

    Args:
        image: The reference image, (3, height, width), in [0, 1], float32 or float64.
        draws: One generator for each functional, on the image's device.

    Returns:
        (draws, 3, height, width) in the image's dtype.
    """
    luminance, contrast = _root_weights(image)
    return torch.stack([_gradient(luminance, contrast, draw) for draw in draws])


def draw_generator(prompt: str, seed: int, draw: int, device: torch.device) -> torch.Generator:
    """The random numbers of one sample's draw, the same whatever else is measured."""
    digest = hashlib.sha256(f"{seed}\0{draw}\0{prompt}".encode()).digest()
    generator = torch.Generator(device)
    return generator.manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _root_weights(image: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(a) and sqrt(b) of each window, each (3, height, width)."""
    exact = image.double()
    rows, columns = (gaussian_window(size, image.device) for size in image.shape[-2:])
    mean = rows @ exact @ columns.T
    variance = (rows @ exact.square() @ columns.T - mean.square()).clamp_min(0)
    windows = image.numel()
    a = 1 / (windows * (2 * mean.square() + C1))
    b = 1 / (windows * (2 * variance + C2))
    return a.sqrt().to(image.dtype), b.sqrt().to(image.dtype)


def _gradient(luminance: Tensor, contrast: Tensor, draw: torch.Generator) -> Tensor:
    channels, height, width = luminance.shape
    padded = (channels, height + 2 * _REACH, width + 2 * _REACH)
    device, dtype = luminance.device, luminance.dtype
    z = torch.randn(padded, generator=draw, dtype=dtype, device=device)
    alpha, beta = luminance * _signs(luminance, draw), contrast * _signs(luminance, draw)
    mean_r, root_r, fold_r = _axis(height, device, dtype)
    mean_c, root_c, fold_c = _axis(width, device, dtype)
    at_pixels = z * (root_r.T @ beta @ root_c)
    of_means = alpha - beta * (root_r @ z @ root_c.T)
    gradient: Tensor = fold_r.T @ at_pixels @ fold_c + mean_r.T @ of_means @ mean_c
    return gradient


def _signs(like: Tensor, draw: torch.Generator) -> Tensor:
    bits = torch.randint(0, 2, like.shape, generator=draw, device=like.device)
    return (2 * bits - 1).to(like.dtype)


@lru_cache(maxsize=8)
def _axis(size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Builds the operations along one axis of an image.

    Returns:
        The windowed mean, (size, size); square roots of the window over the padded axis, (size,
        padded); and the padding, whose border is reflected, (padded, size).
    """
    padded = size + 2 * _REACH
    places = (torch.arange(padded) - _REACH).abs()
    places = torch.where(places < size, places, 2 * (size - 1) - places)
    fold = torch.nn.functional.one_hot(places, size)
    root = torch.zeros(size, padded, dtype=torch.float64)
    roots = torch.from_numpy(WINDOW).sqrt()
    for window in range(size):
        root[window, window : window + len(WINDOW)] = roots
    mean = gaussian_window(size, torch.device("cpu"))
    return mean.to(device, dtype), root.to(device, dtype), fold.to(device, dtype)
