"""Losses with some steps kept, from the effects of single transformer calls.

A layer that is quantized at some calls alone changes a random functional of the image by the sum of
its effects at those calls, so that its loss is the mean square of that sum. Effects of different
calls add up coherently: what a call is worth depends on which others are quantized.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.roles import depends_on_text_alone
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.profiles.effect_statistics import (
    Linearity,
    SampleStatistics,
    parts_of_calls,
    parts_together,
)
from pixart_tui.domain.profiles.effects import SampleEffects, early_calls
from pixart_tui.domain.profiles.intervals import TAIL
from pixart_tui.domain.selecting.candidates import OptionKey

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_LEAST_SHARE: Final = 0.25
"""Part of the late calls' loss that an estimate of two depths does not fall below."""
_TINY: Final = 1e-30


@dataclass(frozen=True)
class StepEffects:
    """The effects of a profile's targets at each call, under one quant type.

    Attributes:
        quant_type: The quant type.
        targets: Names, in the order of the effects.
        effects: (samples, draws, targets, calls), as far as they count; NaN where a target has
            none, and for draws that a sample lacks.
        first_calls: Of each sample and draw, the first call that it reached; NaN for none.
        saturations: Of each sample, the loss at which losses level off; infinite for none.
        prompts: Of each sample.
    """

    quant_type: str
    targets: tuple[str, ...]
    effects: Floats
    first_calls: Floats
    saturations: tuple[float, ...]
    prompts: tuple[str, ...]

    @classmethod
    def of(
        cls, samples: Sequence[SampleEffects], quant_type: str, targets: Sequence[str]
    ) -> StepEffects:
        """From what a run measured, at least one sample."""
        shares = [SampleStatistics.of(sample, quant_type).early_share for sample in samples]
        effects = np.stack([x.effects[quant_type].array().astype(np.float64) for x in samples])
        return cls(
            quant_type=quant_type,
            targets=tuple(targets),
            effects=with_early_shares(effects, shares),
            first_calls=np.array([x.first_calls for x in samples], dtype=np.float64),
            saturations=tuple(Linearity.of(sample).saturation for sample in samples),
            prompts=tuple(sample.prompt for sample in samples),
        )

    @property
    def calls(self) -> int:
        """Transformer calls of an image."""
        return int(self.effects.shape[3])

    def losses(self, quantized: Flags) -> Floats:
        """The loss of each target alone, quantized at some calls, (samples, targets).

        As in :class:`~pixart_tui.domain.profiles.effect_statistics.SampleStatistics`: all draws
        tell of the late calls that all reached, those that went all the way of the others.

        Args:
            quantized: (calls,) for all targets, or (targets, calls).
        """
        return np.stack([self._of_sample(i, quantized) for i in range(len(self.effects))])

    def _of_sample(self, at: int, quantized: Flags) -> Floats:
        firsts = self.first_calls[at]
        effects = self.effects[at]
        if not np.isfinite(firsts).all():
            effects, firsts = effects[np.isfinite(firsts)], firsts[np.isfinite(firsts)]
        start = int(firsts.max())
        late = _summed(effects[:, :, start:], quantized[..., start:])
        whole = late[firsts == 0]
        if start:
            whole = whole + _summed(effects[firsts == 0, :, :start], quantized[..., :start])
        of_late = np.square(late).mean(axis=0)
        both = of_late + (np.square(whole) - np.square(late[firsts == 0])).mean(axis=0)
        found: Floats = np.maximum(both, _LEAST_SHARE * of_late)
        return found

    @cached_property
    def whole(self) -> Floats:
        """The loss of each target alone, quantized at every call, (samples, targets)."""
        return self.losses(np.ones(self.calls, dtype=bool))

    @cached_property
    def weights(self) -> Floats:
        """The weight of a loss in each sample, (samples, targets): less where losses level off."""
        found: Floats = 1 / (1 + self.whole / np.array(self.saturations)[:, None])
        return found

    @cached_property
    def steps(self) -> Floats:
        """The part of each call in a target's effects, in squares, (targets, calls)."""
        squares = np.zeros(self.effects.shape[2:])
        for at, weights in enumerate(self.weights):
            reached = np.isfinite(self.first_calls[at])
            firsts = self.first_calls[at][reached]
            draws = (firsts[:, None] <= np.arange(self.calls)).sum(axis=0)
            of_calls = np.square(self.effects[at][reached]).sum(axis=0) / draws
            squares += weights[:, None] * of_calls
        return parts_of_calls(squares)

    @property
    def steps_together(self) -> Floats:
        """The part of each call in the effects of all targets, (calls,); sums to 1."""
        return parts_together(self.steps, (self.weights * self.whole).mean(axis=0))

    def places(self, targets: Iterable[str]) -> list[int]:
        """Where targets are among the effects."""
        return [self._places[target] for target in targets]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {target: at for at, target in enumerate(self.targets)}

    def moment(self, target: str) -> Floats:
        """Mean products of a target's effects at two calls, (calls, calls)."""
        found: Floats = self.moments[self._places[target]]
        return found

    @cached_property
    def moments(self) -> Floats:
        """Mean products of the effects at two calls, (targets, calls, calls), weighted."""
        found = np.zeros((len(self.targets), self.calls, self.calls))
        for at, weights in enumerate(self.weights):
            firsts = self.first_calls[at]
            effects = self.effects[at][np.isfinite(firsts)].transpose(1, 0, 2)
            firsts = firsts[np.isfinite(firsts)]
            start, reached = int(firsts.max()), effects[:, firsts == 0]
            products = reached.transpose(0, 2, 1) @ reached / reached.shape[1]
            late = effects[:, :, start:]
            products[:, start:, start:] = late.transpose(0, 2, 1) @ late / late.shape[1]
            found += weights[:, None, None] * products
        return found / len(self.effects)


def with_early_shares(effects: Floats, shares: Sequence[float]) -> Floats:
    """Effects as far as they count: less where the early calls are out of the linear range.

    There a sum is predicted far above what is measured, and a selection is a sum of most layers.

    Args:
        effects: (samples, draws, targets, calls).
        shares: Of each sample, the part of the early calls' loss that counts.
    """
    found = effects.copy()
    found[..., : early_calls(effects.shape[3])] *= np.sqrt(shares)[:, None, None, None]
    return found


@dataclass(frozen=True)
class EffectsByType:
    """The step effects of every quant type of the candidates.

    Attributes:
        by_type: Quant type to its effects; all of the same samples.
    """

    by_type: Mapping[str, StepEffects]

    @property
    def calls(self) -> int:
        """Transformer calls of an image."""
        return next(iter(self.by_type.values())).calls

    def left(self, kept: KeptSteps) -> dict[OptionKey, float]:
        """Of each option, the part of its loss that is left when it skips the kept steps."""
        quantized = self._quantized(kept)
        found: dict[OptionKey, float] = {}
        for name, known in self.by_type.items():
            part = (known.weights * known.losses(quantized)).mean(axis=0)
            whole = np.maximum((known.weights * known.whole).mean(axis=0), _TINY)
            found |= {
                (target, name): float(x)
                for target, x in zip(known.targets, part / whole, strict=True)
            }
        return found

    def best_steps(
        self, options: Iterable[OptionKey], counts: Collection[int], asked: KeptSteps = NO_STEPS
    ) -> list[KeptSteps]:
        """For each number of steps, those that are best kept of what is computed at each step.

        One step after the other is taken, each time the one without which the least loss is left,
        and then exchanged with another while that leaves less.

        Args:
            options: What is quantized.
            counts: Numbers of steps, those asked for among them.
            asked: Steps that are kept in any case.
        """
        total = np.zeros((self.calls, self.calls))
        for target, name in options:
            if not depends_on_text_alone(target):
                total += self.by_type[name].moment(target)
        quantized = self._quantized(asked)
        fixed = ~quantized
        found = []
        for count in range(int(fixed.sum()) + 1, max(counts, default=0) + 1):
            quantized[_least(total, quantized)] = False
            _exchange(total, quantized, fixed)
            if count in counts:
                numbers = tuple(int(i) + 1 for i in np.flatnonzero(~quantized))
                found.append(KeptSteps(numbers=numbers))
        return found

    def reach(self, choice: Choice) -> float | None:
        """Times that a selection's loss on other prompts may exceed its prediction, or be below it.

        That of the 95% t interval on the logarithms of the sums over prompts, as a single layer's
        (Zhou and Gao 1997); None for a single prompt, which tells nothing of others.
        """
        by_sample = self.by_sample(choice)
        prompts = np.array(next(iter(self.by_type.values())).prompts)
        names = list(dict.fromkeys(prompts.tolist()))
        if len(names) < 2:
            return None
        by_prompt = np.array([by_sample[prompts == name].mean() for name in names])
        variance = float(np.log(np.maximum(by_prompt, _TINY)).var(ddof=1))
        width = math.sqrt(variance / len(names) + variance**2 / (2 * (len(names) + 1)))
        return math.exp(float(special.stdtrit(len(names) - 1, 1 - TAIL)) * width)

    def by_sample(self, choice: Choice) -> Floats:
        """The predicted loss of a selection in each sample: the sum of its targets' own losses."""
        quantized = self._quantized(choice.kept_steps)
        found = np.zeros(len(next(iter(self.by_type.values())).prompts))
        for name, known in self.by_type.items():
            chosen = [t for t, assigned in choice.assignments.items() if assigned == name]
            whole = [target for target in chosen if choice.is_at_every_step(target)]
            fewer = [t for t in chosen if t not in whole]
            found += (known.weights * known.whole)[:, known.places(whole)].sum(axis=1)
            if fewer:
                places = known.places(fewer)
                found += (known.weights * known.losses(quantized))[:, places].sum(axis=1)
        return found

    def _quantized(self, kept: KeptSteps) -> Flags:
        return np.array([kept.quantizes(i, self.calls) for i in range(self.calls)])


def _summed(effects: Floats, quantized: Flags) -> Floats:
    """The sums of effects over the calls that are quantized, (draws, targets)."""
    if quantized.ndim == 1:
        return np.asarray(effects @ quantized.astype(np.float64))
    return np.asarray(np.einsum("dtc,tc->dt", effects, quantized.astype(np.float64)))


def _loss(total: Floats, quantized: Flags) -> float:
    return float(quantized @ total @ quantized)


def _least(total: Floats, quantized: Flags) -> int:
    """The quantized step without which the least loss is left."""
    candidates = np.flatnonzero(quantized)
    less = 2 * (total @ quantized)[candidates] - total.diagonal()[candidates]
    return int(candidates[int(np.argmax(less))])


def _exchange(total: Floats, quantized: Flags, fixed: Flags) -> None:
    """Exchanges kept steps with others while that leaves less, in place."""
    while True:
        before = _loss(total, quantized)
        for back in np.flatnonzero(~quantized & ~fixed):
            quantized[back] = True
            out = _least(total, quantized)
            quantized[out] = False
            if _loss(total, quantized) < before * (1 - 1e-9):
                break
            quantized[out], quantized[back] = True, False
        else:
            return
