"""A layer's score, and what follows from the scores of all layers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    pass


class LayerStatus(StrEnum):
    """How far a layer is measured."""

    PENDING = "pending"
    MEASURED = "measured"
    EXCLUDED = "excluded"
    NOT_FINITE = "not_finite"


class LayerScore(Value):
    """One layer's sensitivity over all prompts and seeds.

    Attributes:
        layer: The layer.
        status: Whether it was measured, and if not, why there are no figures.
        reason: Why it is excluded; empty otherwise.
        samples: Prompts and seeds it was measured on.
        ssim: Mean SSIM to the reference images; may exceed 1 by rounding.
        ssim_low: Lower end of its 95% interval for other prompts of the same kind; for these
            images where there is one prompt.
        ssim_high: Its upper end.
        these_low: Lower end of the 95% interval for these images; None where images were made,
            which leaves no doubt about them.
        these_high: Its upper end.
        degrees: Effective degrees of freedom of the estimate; None where images were made.
        ssim_std: Standard deviation over prompts and seeds; None where no images were made.
        psnr_db: Mean PSNR in dB of the images that differ; None where none were made.
        latent_mse: Mean squared error of the final latents; None where no images were made.
        latency_s: Its measured time, None where the quant type was not timed on a real kernel.
        rank: 1 for the most sensitive; None where there is no figure.
        tied_from: The first rank of the layers that cannot be told apart from it.
        tied: Whether there are such layers.
    """

    layer: Layer
    status: LayerStatus
    reason: str = ""
    samples: int = 0
    ssim: float | None = None
    ssim_low: float | None = None
    ssim_high: float | None = None
    these_low: float | None = None
    these_high: float | None = None
    degrees: float | None = None
    ssim_std: float | None = None
    psnr_db: float | None = None
    latent_mse: float | None = None
    latency_s: Latency | None = None
    rank: int | None = None
    tied_from: int | None = None
    tied: bool = False

    @property
    def loss(self) -> float | None:
        """1 - SSIM."""
        return None if self.ssim is None else 1.0 - self.ssim

    @property
    def no_speedup(self) -> bool:
        """Whether the layer can be quantized and was timed to be no faster for it."""
        timed = self.latency_s is not None and not self.latency_s.speeds_up
        return timed and self.status is LayerStatus.MEASURED


def noise_of(scores: Iterable[LayerScore]) -> float | None:
    """The measurement noise of scores that are there already."""
    spreads = [s.ssim_std for s in scores if s.ssim_std is not None and s.samples > 1]
    return statistics.median(spreads) if spreads else None


def ranked(scores: Iterable[LayerScore]) -> list[LayerScore]:
    """The measured layers, most sensitive first; equal SSIM keeps the model's order."""
    measured = [s for s in scores if s.ssim is not None]
    return sorted(measured, key=lambda s: s.ssim if s.ssim is not None else 0.0)
