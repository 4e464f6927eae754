"""A selection problem: which targets to quantize, and at which steps to quantize none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.candidates import Candidates, OptionKey, with_steps_kept
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import Selection, bound_of, choose, solver_of
from pixart_tui.domain.selecting.solving import Solver

if TYPE_CHECKING:
    from pixart_tui.domain.selecting.step_effects import EffectsByType

_PARTS: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Parts of an image's steps among which is chosen how many are kept."""
_WORTH_TRYING: Final = 1e-3
"""Part by which other steps must be able to be better before they are solved for."""
_MOST_REMEMBERED: Final = 32
"""Sets of kept steps whose candidates_by_steps are remembered: some megabytes each."""


@dataclass
class _Known:
    """Intermediate results of the candidates, whatever the rule and its parameter."""

    choices: tuple[KeptSteps, ...] = ()
    candidates_by_steps: dict[KeptSteps, Candidates] = field(default_factory=dict)
    solvers: dict[tuple[KeptSteps, Rule], Solver] = field(default_factory=dict)


@dataclass(frozen=True)
class SelectionProblem:
    """A selection problem.

    Attributes:
        candidates: The targets and their options, of all steps.
        rule: The rule.
        parameter: Its parameter.
        fused: Whether layers that read the same rows are decided together.
        steps: Transformer calls of an image.
        kept_steps: Steps that are kept.
        choose_steps: Whether to choose further ones.
        effects: Effects of single calls; None where they are not known.
    """

    candidates: Candidates
    rule: Rule
    parameter: float
    fused: bool = False
    steps: int = 1
    kept_steps: KeptSteps = NO_STEPS
    choose_steps: bool = False
    effects: EffectsByType | None = None
    _known: _Known = field(default_factory=_Known, init=False, repr=False, compare=False)

    def asking(self, rule: Rule, parameter: float) -> SelectionProblem:
        """The same by another rule; what was worked out for one is there for the other."""
        found = replace(self, rule=rule, parameter=parameter)
        object.__setattr__(found, "_known", self._known)
        return found

    def solved(self, scale: float = 1.0) -> Selection:
        """The rule's selection; with steps to choose, the best over numbers of them.

        Args:
            scale: Measured loss over predicted loss, where joint measurements told it.

        Raises:
            RequestError: There is none, or steps are to be chosen and no effects are known, or by
                count.
        """
        if self.choose_steps and self.effects is None:
            raise no_effects()
        if self.choose_steps and self.rule == "top-percentage":
            raise RequestError(
                "--choose-steps needs a rule that weighs gain against loss",
                cause="--top-percentage counts layers alone: the more steps are kept, the better",
                next_step="add --flops-share 0.8, --saved-share 0.8 or --max-loss 0.001",
                option="--choose-steps",
            )
        found = self._best(scale)
        if self.choose_steps and found.kept_steps:
            found = min((found, *self._refined(found, scale)), key=self._order)
        return self._with_interval(found)

    def losses(self, selection: Selection) -> dict[str, float]:
        """The loss of each quantized target alone, at those steps at which it is quantized."""
        always = set(selection.at_every_step)
        return {
            option.target: option.loss
            for option in self._candidates(selection.kept_steps).options
            if selection.assignments.get(option.target) == option.quant_type
            and (not selection.kept_steps or option.at_every_step == (option.target in always))
        }

    def _best(self, scale: float) -> Selection:
        bounds: list[tuple[float, KeptSteps]] = []
        refused: RequestError | None = None
        for kept in self._choices:
            try:
                bounds.append((self._bound(kept, scale), kept))
            except RequestError as error:  # fewer steps may not reach the share
                refused = refused or error
        found: Selection | None = None
        # A bound takes a millisecond and a selection twenty: most sets of steps are ruled out.
        for bound, kept in sorted(bounds, key=lambda pair: pair[0]):
            if found is None or self._may_be_better(bound, found):
                other = self._with_kept(kept, scale)
                found = min((found or other, other), key=self._order)
        if found is None:
            raise refused or no_effects()
        return found

    def _bound(self, kept: KeptSteps, scale: float) -> float:
        return bound_of(
            self._candidates(kept), self.rule, self.parameter, self._solver(kept), scale
        )

    def _may_be_better(self, bound: float, found: Selection) -> bool:
        known, _ = self._order(found)
        return bound < known - _WORTH_TRYING * abs(known)

    def _refined(self, found: Selection, scale: float) -> Iterator[Selection]:
        """As many steps, but those that are best for what is quantized now."""
        assert self.effects is not None
        count = len(found.kept_steps.kept(self.steps))
        for kept in self._best_steps(tuple(found.assignments.items()), (count,)):
            if kept != found.kept_steps:
                try:
                    yield self._with_kept(kept, scale)
                except RequestError:  # others reach the share, these do not
                    return

    @property
    def _choices(self) -> tuple[KeptSteps, ...]:
        """Returns the kept steps that were asked for, and further choices, fewest steps first."""
        if not self._known.choices:
            self._known.choices = (self.kept_steps, *self._further())
        return self._known.choices

    def _further(self) -> list[KeptSteps]:
        if not self.choose_steps or self.effects is None:
            return []
        counts = sorted({round(part * self.steps) for part in _PARTS} - {0, self.steps})
        options = tuple(option.key for option in self.candidates.options)
        return self._best_steps(options, tuple(counts))

    def _best_steps(
        self, options: tuple[OptionKey, ...], counts: tuple[int, ...]
    ) -> list[KeptSteps]:
        assert self.effects is not None
        return self.effects.best_steps(options, counts, self.kept_steps)

    def _with_kept(self, kept: KeptSteps, scale: float) -> Selection:
        candidates, solver = self._candidates(kept), self._solver(kept)
        found = choose(
            candidates, self.rule, self.parameter, fused=self.fused, scale=scale, solver=solver
        )
        # Whatever it was solved with: the prediction is that of before any joint measurement.
        return found.replace(predicted_loss=found.predicted_loss / scale)

    def _candidates(self, kept: KeptSteps) -> Candidates:
        candidates_by_steps = self._known.candidates_by_steps
        if kept not in candidates_by_steps:
            if len(candidates_by_steps) >= _MOST_REMEMBERED:
                candidates_by_steps.clear()
                self._known.solvers.clear()
            left = self.effects.left(kept) if self.effects else None
            made = (
                with_steps_kept(self.candidates, kept, self.steps, left)
                if kept
                else self.candidates
            )
            candidates_by_steps[kept] = made
        return candidates_by_steps[kept]

    def _solver(self, kept: KeptSteps) -> Solver:
        solvers, key = self._known.solvers, (kept, self.rule)
        if key not in solvers:
            solvers[key] = solver_of(self._candidates(kept), self.rule, fused=self.fused)
        return solvers[key]

    def _order(self, selection: Selection) -> tuple[float, float]:
        if self.rule == "max-loss":
            return (-selection.gain, selection.predicted_loss)
        return (selection.predicted_loss, -selection.gain)

    def _with_interval(self, found: Selection) -> Selection:
        """With the interval of its prediction, where effects are known."""
        if self.effects is None or not found.chosen:
            return found
        found = found.replace(predicted_by_step=True)
        reach = self.effects.reach(found.choice)
        if reach is None:
            return found
        loss = found.predicted_loss
        ends = {"predicted_low": loss / reach, "predicted_high": loss * reach}
        return found.replace(**ends)


def no_effects() -> RequestError:
    """The error for a problem whose profile measured no single steps."""
    return RequestError(
        "--choose-steps needs the effects of single steps",
        cause="they are in the .effects.safetensors of a profile by the adjoint method",
        next_step="profile with --method adjoint, or say which: --keep-steps 9-13,20",
        option="--choose-steps",
    )
