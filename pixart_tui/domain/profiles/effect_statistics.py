"""Estimates the layers' losses from effects, with intervals and ties.

Given a sample, the effects of a draw are normal with mean 0 (measured kurtosis: 3.15), so that a
mean of their squares is a chi-square variate. Two questions have two intervals: the loss on *these
images*, from the draws' degrees of freedom, and on *other prompts*, from the spread over prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from pixart_tui.domain.profiles.effects import SampleEffects, early_calls
from pixart_tui.domain.profiles.intervals import CONFIDENCE

Floats: TypeAlias = npt.NDArray[np.float64]

LINEAR_UP_TO: Final = 2.0
"""Times that the predicted loss of all layers together may exceed the measured one: beyond it, the
sample is out of the linear range."""

_LEAST_SHARE: Final = 0.25
"""Part of the late calls' loss that the estimate of two depths does not fall below."""
_TINY: Final = 1e-30


@dataclass(frozen=True)
class Linearity:
    """How a sample's image answers to errors that are not small.

    Attributes:
        saturation: The loss at which losses level off, by q / (1 + q / saturation): infinite where
            the measured loss of all layers together is not far below the predicted one.
        curvature: The part of a loss that its linear prediction leaves out, per loss: what is left
            out grows with the square of a loss, as its fields are of second order.
        early_saturation: The saturation of the loss of all layers together at the early calls
            alone, where the sum of single losses predicts it.
        divergence_doubt: Standard deviation of each loss's logarithm in a sample out of the linear
            range: half the logarithm by which the sum of single losses exceeds that range. A
            trajectory that diverges does so at small errors too, which curvature cannot show.
    """

    saturation: float
    curvature: float
    early_saturation: float = math.inf
    divergence_doubt: float = 0.0

    @classmethod
    def of(cls, sample: SampleEffects) -> Linearity:
        """From the image with every layer's local error added, and the same draws' effects."""
        measured, loss = np.array(sample.check.functionals, dtype=np.float64), sample.check.loss
        if loss is None:
            return cls(saturation=math.inf, curvature=0.0)
        effects = sample.effects[sample.check.quant_type].array()
        linear = np.nansum(effects, axis=(1, 2), dtype=np.float64)
        p = max(float(np.square(linear).mean()), _TINY)
        left_out = float(np.square(measured - linear).mean())
        # Far from the reference image 1 - SSIM levels off too, so that it is what counts here.
        saturation = _saturation(p, loss)
        # Beyond saturation what is left out grows no more; a loss as large as that is in doubt by
        # its own size.
        return cls(
            saturation=saturation,
            curvature=left_out / p**2 + 1 / saturation,
            early_saturation=cls._early(sample, effects),
            divergence_doubt=0
            if math.isinf(saturation)
            else _divergence_doubt(_whole(sample, effects), loss),
        )

    @staticmethod
    def _early(sample: SampleEffects, effects: npt.NDArray[np.float32]) -> float:
        """From the draws that reached every call, and 1 - SSIM."""
        loss = sample.check.early_loss
        if loss is None:
            return math.inf
        return _saturation(_early_sum(_whole(sample, effects)), loss)


def _whole(sample: SampleEffects, effects: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The draws that reached every call."""
    found: npt.NDArray[np.float32] = effects[np.array(sample.first_calls) == 0]
    return found


def _saturation(predicted: float, measured: float) -> float:
    """The loss at which losses level off, where a sum is predicted far above what is measured."""
    if predicted <= max(LINEAR_UP_TO * measured, _TINY):
        return math.inf
    return max(predicted * measured / (predicted - measured), _TINY)


def _divergence_doubt(effects: npt.NDArray[np.float32], measured: float) -> float:
    """Half the logarithm of the sum of single losses (draws, layers, calls) over what is linear.

    The half was found on a model of 28 blocks at guidance 2.0 and holds on others
    (``docs/method-results.md``).
    """
    totals = np.square(effects.sum(axis=2, dtype=np.float64))
    total = float(np.nansum(totals, axis=1).mean())
    return max(0.0, math.log(max(total, _TINY) / max(LINEAR_UP_TO * measured, _TINY)) / 2)


def _early_sum(effects: npt.NDArray[np.float32]) -> float:
    """The sum of every layer's loss at the early calls alone, by draws (draws, layers, calls).

    Of single losses, as that is what predicts a selection.
    """
    early = effects[:, :, : early_calls(effects.shape[2])].sum(axis=2, dtype=np.float64)
    return float(np.nansum(np.square(early), axis=1).mean())


@dataclass(frozen=True)
class SampleStatistics:
    """Statistics of one sample's effects, under one quant type.

    With u the sum of a draw's effects over the late calls that every draw reached, and v over all
    calls, the estimate is mean(u^2) over all draws + mean(v^2 - u^2) over those that reached all:
    unbiased, and as quiet as the many short draws where late calls dominate.

    Attributes:
        late: u, (draws, layers).
        whole: v, (whole draws, layers).
        calls: Mean square of the effects at each call, (layers, calls).
        predicted: Of each draw, the sum of every layer's effects.
        linearity: How the image was seen to answer to every layer's local error at once.
        measured: Of each draw, the functional of the image with every layer's local error added;
            empty where that was another quant type, or the image is not finite.
        early: The sum of every layer's loss at the early calls alone, by the whole draws.
    """

    late: Floats
    whole: Floats
    calls: Floats
    predicted: Floats
    linearity: Linearity
    measured: Floats
    early: float

    @classmethod
    def of(cls, sample: SampleEffects, quant_type: str) -> SampleStatistics:
        """The statistics of a sample that has this quant type."""
        effects = sample.effects[quant_type].array().astype(np.float64)
        first = np.array(sample.first_calls)
        start = int(first.max())
        reached = (first[:, None] <= np.arange(effects.shape[2])).sum(axis=0)
        functionals = np.array(sample.check.functionals, dtype=np.float64)
        checked = sample.check.quant_type == quant_type
        return cls(
            late=effects[:, :, start:].sum(axis=2),
            whole=effects[first == 0].sum(axis=2),
            calls=np.square(effects).sum(axis=0) / reached,
            predicted=np.nansum(effects, axis=(1, 2)),
            linearity=Linearity.of(sample),
            measured=functionals if checked else functionals[:0],
            early=_early_sum(_whole(sample, sample.effects[quant_type].array())),
        )

    @cached_property
    def products(self) -> Floats:
        """Estimated mean products of the totals of two layers, (layers, layers)."""
        late_of_whole = self.late[: len(self.whole)]
        found: Floats = self.late.T @ self.late / len(self.late) + (
            self.whole.T @ self.whole - late_of_whole.T @ late_of_whole
        ) / len(self.whole)
        return found

    @cached_property
    def losses(self) -> Floats:
        """The loss of each layer alone, (layers,), before any weight."""
        # Noise of the early calls may push the unbiased estimate below 0.
        least = _LEAST_SHARE * np.square(self.late).mean(axis=0)
        losses: Floats = np.maximum(self.products.diagonal(), least)
        return losses

    @cached_property
    def draws(self) -> Floats:
        """How many whole draws each layer's estimate is worth, (layers,)."""
        count, whole = len(self.late), len(self.whole)
        if count == whole:
            return np.full(self.late.shape[1], float(count))
        late = self.late[:whole]
        early = self.whole - late
        a = np.square(self.late).mean(axis=0)
        b = np.square(early).mean(axis=0)
        c = (late * early).mean(axis=0)
        # Of mean(u^2) + mean(2 u w + w^2) with u and w, the early calls, jointly normal (Isserlis
        # 1918): small differences of two noisy variances would say nothing.
        variance = 2 * (a**2 + 4 * a * c + 2 * c**2) / count
        variance += (4 * (a * b + c**2) + 2 * b**2 + 8 * b * c) / whole
        worth = 2 * np.square(self.losses) / np.maximum(variance, _TINY)
        found: Floats = np.clip(worth, whole, count)
        return found

    @property
    def predicted_loss(self) -> float:
        """Loss of all layers together, by the sum of their effects."""
        return float(np.square(self.predicted).mean())

    @property
    def measured_loss(self) -> float | None:
        """The same of the image, under the same draws; None where it was not measured."""
        return float(np.square(self.measured).mean()) if len(self.measured) else None

    @cached_property
    def weights(self) -> Floats:
        """The weight of each layer's loss, (layers,): 1 in the linear range, then less."""
        found: Floats = 1 / (1 + self.losses / self.linearity.saturation)
        return found

    @property
    def early_share(self) -> float:
        """The part of the early calls' loss that counts, of all layers together: 1 if linear."""
        return 1 / (1 + self.early / self.linearity.early_saturation)

    @cached_property
    def nonlinear_doubt(self) -> Floats:
        """Standard deviation of each loss's logarithm that the nonlinear part makes, (layers,)."""
        linearity = self.linearity
        found: Floats = np.sqrt(linearity.curvature * self.losses + linearity.divergence_doubt**2)
        return found

    @property
    def nonlinear(self) -> float | None:
        """The part of the measured loss that the sum of effects does not explain."""
        measured = self.measured_loss
        if measured is None:
            return None
        return float(np.square(self.measured - self.predicted).mean()) / max(measured, _TINY)


@dataclass(frozen=True)
class EffectStatistics:
    """Statistics of several samples' effects for every layer, under one quant type.

    Attributes:
        samples: Their statistics.
        prompts: Of each, the prompt.
    """

    samples: tuple[SampleStatistics, ...]
    prompts: tuple[str, ...]

    @classmethod
    def of(cls, samples: Sequence[SampleEffects], quant_type: str) -> EffectStatistics:
        """The statistics of at least one sample."""
        found = tuple(SampleStatistics.of(sample, quant_type) for sample in samples)
        return cls(found, tuple(sample.prompt for sample in samples))

    @cached_property
    def by_sample(self) -> Floats:
        """Weighted loss of each sample and layer, (samples, layers); NaN where not finite."""
        return np.stack([sample.weights * sample.losses for sample in self.samples])

    @property
    def weights(self) -> Floats:
        """Returns the weight of each sample's loss of each layer, (samples, layers)."""
        return np.stack([sample.weights for sample in self.samples])

    @cached_property
    def losses(self) -> Floats:
        """1 - SSIM of each layer alone, mean over the samples, (layers,)."""
        found: Floats = self.by_sample.mean(axis=0)
        return found

    @cached_property
    def degrees(self) -> Floats:
        """Effective degrees of freedom of each loss, (layers,): samples of large loss weigh more.

        (K + 2) / sum w^2 - 2 with w a sample's share of the loss and K its draws; the 2s make up
        for shares that are estimated from the same draws. A single sample has K.
        """
        shares = self.by_sample / np.maximum(self.by_sample.sum(axis=0), _TINY)
        worth = np.stack([sample.draws for sample in self.samples]) + 2
        found: Floats = 1 / np.maximum((np.square(shares) / worth).sum(axis=0), _TINY) - 2
        return found

    def of_these_images(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
        """Ends of each loss's interval on the measured prompts and seeds.

        The chance of the draws and the doubt of the nonlinear part, which is taken to have one sign
        in all samples, add in squares of logarithms.
        """
        tail = (1 - confidence) / 2
        below = np.log(_chi_square(1 - tail, self.degrees) / self.degrees)
        above = np.log(self.degrees / _chi_square(tail, self.degrees))
        doubt = special.ndtri(1 - tail) * self._nonlinear_doubt
        low = self.losses * np.exp(-np.hypot(below, doubt))
        high = self.losses * np.exp(np.hypot(above, doubt))
        return low, high

    @property
    def _nonlinear_doubt(self) -> Floats:
        shares = self.by_sample / np.maximum(self.by_sample.sum(axis=0), _TINY)
        doubts = np.stack([sample.nonlinear_doubt for sample in self.samples])
        found: Floats = (shares * doubts).sum(axis=0)
        return found

    def of_other_prompts(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats] | None:
        """Ends of each loss's interval for prompts of the same kind; None for a single prompt.

        From the spread of the logarithms over prompts; the second term of the variance is that of
        the mean of a log-normal variate (Cox's method: Zhou and Gao 1997). The doubt of the
        nonlinear part is added as above. No interval foresees a prompt that behaves unlike all that
        were measured.
        """
        names = list(dict.fromkeys(self.prompts))
        if len(names) < 2:
            return None
        of = np.array(self.prompts)
        by_prompt = np.stack([self.by_sample[of == name].mean(axis=0) for name in names])
        variance = np.log(np.maximum(by_prompt, _TINY)).var(axis=0, ddof=1)
        count = len(names)
        width = np.sqrt(variance / count + variance**2 / (2 * (count + 1)))
        tail = (1 + confidence) / 2
        doubt = special.ndtri(tail) * self._nonlinear_doubt
        reach = np.exp(np.hypot(special.stdtrit(count - 1, tail) * width, doubt))
        return self.losses / reach, self.losses * reach

    @cached_property
    def _products(self) -> Floats:
        roots = [np.sqrt(sample.weights) for sample in self.samples]
        weighted = [
            root[:, None] * sample.products * root
            for root, sample in zip(roots, self.samples, strict=True)
        ]
        found: Floats = np.mean(weighted, axis=0)
        return found

    def told_apart(
        self,
        one: int,
        others: npt.NDArray[np.int_],
        confidence: float = CONFIDENCE,
        more: float = 1.0,
    ) -> npt.NDArray[np.bool_]:
        """Whether the draws tell one layer's loss on these images from those of others.

        The test of Morgan (1939) and Pitman (1939) for two variances of paired normal variates:
        they are equal exactly if sum and difference are uncorrelated. At 8 effective degrees of
        freedom, losses that differ tenfold are always told apart.

        Args:
            one: A layer's index.
            others: Other layers' indices.
            confidence: Of each test.
            more: Times as many degrees of freedom as there are: what more samples would tell.
        """
        a, b = self.losses[one], self.losses[others]
        shared = self._products[one, others]
        spread = np.maximum((a + b) ** 2 - 4 * shared**2, _TINY)
        r = np.clip(np.abs(a - b) / np.sqrt(spread), 0, 1 - 1e-12)
        free = np.maximum(more * np.minimum(self.degrees[one], self.degrees[others]) - 1, 1e-3)
        t = r * np.sqrt(free / (1 - r**2))
        return np.asarray(t > special.stdtrit(free, (1 + confidence) / 2))

    @cached_property
    def steps(self) -> Floats:
        """The part of each call in a layer's effects, in squares, (layers, calls); sums to 1."""
        weighted = [sample.weights[:, None] * sample.calls for sample in self.samples]
        return parts_of_calls(np.mean(weighted, axis=0))

    @cached_property
    def steps_together(self) -> Floats:
        """The part of each call in the effects of all layers, (calls,); sums to 1."""
        return parts_together(self.steps, self.losses)


def parts_of_calls(squares: Floats) -> Floats:
    """The part of each call, (layers, calls), from mean squares of effects; sums to 1."""
    found: Floats = squares / np.maximum(squares.sum(axis=1, keepdims=True), _TINY)
    return found


def parts_together(parts: Floats, losses: Floats) -> Floats:
    """The part of each call in all layers together, (calls,): each layer's counts by its loss.

    Args:
        parts: Of each layer, (layers, calls); NaN for one without effects.
        losses: Of each layer, (layers,).
    """
    known = np.isfinite(losses) & np.isfinite(parts).all(axis=1)
    total: Floats = losses[known] @ parts[known]
    found: Floats = total / max(float(total.sum()), _TINY)
    return found


def _chi_square(probability: float, degrees: Floats) -> Floats:
    """Quantiles of chi-square; scipy.stats has them too and takes a viewer a second to load."""
    return np.asarray(2 * special.gammaincinv(degrees / 2, probability), dtype=np.float64)
