"""How far an image is from its undisturbed twin."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)


def ssim_per_image(images: Tensor, reference: Tensor) -> list[float]:
    """Structural similarity of each image to its reference (Wang et al. 2004, by torchmetrics).

    In float64, because single layers differ from their reference by 1e-6 and less.

    Args:
        images: (n, 3, height, width), values in [0, 1].
        reference: The same shape.
    """
    values = structural_similarity_index_measure(
        images.double(), reference.double(), data_range=1.0, reduction="none"
    )
    assert isinstance(values, Tensor)
    return [float(value) for value in values.reshape(-1)]


def psnr_db_per_image(images: Tensor, reference: Tensor) -> list[float | None]:
    """Peak signal-to-noise ratio of each image in dB, None for equal images (infinite).

    Args:
        images: (n, 3, height, width), values in [0, 1].
        reference: The same shape.
    """
    return [
        None
        if torch.equal(image, twin)
        else float(peak_signal_noise_ratio(image.double(), twin.double(), data_range=1.0))
        for image, twin in zip(images, reference, strict=True)
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
