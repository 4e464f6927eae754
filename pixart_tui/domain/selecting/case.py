"""A question to a menu with steps to choose: which targets, and at which steps none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.selecting.menu import Menu, OptionKey, with_steps_kept
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selection import OF_LAYERS, Rule, Selection, choose

if TYPE_CHECKING:
    from pixart_tui.domain.selecting.step_effects import EffectsByType

_PARTS: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Parts of an image's steps among which is chosen how many are kept."""
_PATIENCE: Final = 2
"""Numbers of steps in a row that may be no better before no more are tried."""


@dataclass(frozen=True)
class Case:
    """What is to be selected.

    Attributes:
        menu: The targets and their options, of all steps.
        rule: The rule.
        parameter: Its parameter.
        fused: Whether layers that read the same rows are decided together.
        steps: Transformer calls of an image.
        kept_steps: Steps that are kept.
        choose_steps: Whether to choose further ones.
        effects: Effects of single calls; None where they are not known.
    """

    menu: Menu
    rule: Rule
    parameter: float
    fused: bool = False
    steps: int = 1
    kept_steps: KeptSteps = NO_STEPS
    choose_steps: bool = False
    effects: EffectsByType | None = None

    def solved(self, scale: float = 1.0) -> Selection:
        """The rule's selection; with steps to choose, the best over numbers of them.

        Args:
            scale: Measured loss over predicted loss, where joint measurements told it.

        Raises:
            RequestError: There is none, or steps are to be chosen and no effects are known.
        """
        if self.choose_steps and self.effects is None:
            raise no_effects()
        found = self._best(scale)
        if self.choose_steps and found.kept_steps:
            found = min((found, *self._refined(found, scale)), key=self._order)
        return self._with_interval(found)

    def _best(self, scale: float) -> Selection:
        found: list[Selection] = []
        refused: RequestError | None = None
        waited = 0
        for kept in self._choices:
            try:
                found.append(self._with_kept(kept, scale))
            except RequestError as error:  # fewer steps may not reach the share
                refused = refused or error
                continue
            waited = 0 if found[-1] is min(found, key=self._order) else waited + 1
            if waited == _PATIENCE:
                break
        if not found:
            raise refused or no_effects()
        return min(found, key=self._order)

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

    @cached_property
    def _choices(self) -> tuple[KeptSteps, ...]:
        """What is asked for, and further steps if they are to be chosen, fewest first."""
        if not self.choose_steps or self.effects is None:
            return (self.kept_steps,)
        counts = sorted({round(part * self.steps) for part in _PARTS} - {0, self.steps})
        menu = self.menu.of_layers if self.rule in OF_LAYERS else self.menu
        options = tuple(option.key for option in menu.options)
        return (self.kept_steps, *self._best_steps(options, tuple(counts)))

    def _best_steps(
        self, options: tuple[OptionKey, ...], counts: tuple[int, ...]
    ) -> list[KeptSteps]:
        assert self.effects is not None
        return self.effects.best_steps(options, counts, self.kept_steps)

    def _with_kept(self, kept: KeptSteps, scale: float) -> Selection:
        found = choose(self._menu(kept), self.rule, self.parameter, fused=self.fused, scale=scale)
        # Whatever it was solved with: the prediction is that of before any joint measurement.
        return found.model_copy(update={"predicted_loss": found.predicted_loss / scale})

    def _menu(self, kept: KeptSteps) -> Menu:
        if kept not in self._menus:
            left = self.effects.left(kept) if self.effects else None
            made = with_steps_kept(self.menu, kept, self.steps, left) if kept else self.menu
            self._menus[kept] = made
        return self._menus[kept]

    @cached_property
    def _menus(self) -> dict[KeptSteps, Menu]:
        return {}

    def _order(self, selection: Selection) -> tuple[float, float]:
        if self.rule == "max-loss":
            return (-selection.gain, selection.predicted_loss)
        return (selection.predicted_loss, -selection.gain)

    def _with_interval(self, found: Selection) -> Selection:
        """With the interval of its prediction, where effects are known."""
        if self.effects is None or not found.chosen:
            return found
        reach = self.effects.reach(found.choice)
        if reach is None:
            return found
        loss = found.predicted_loss
        ends = {"predicted_low": loss / reach, "predicted_high": loss * reach}
        return found.model_copy(update=ends)


def no_effects() -> RequestError:
    """Nothing tells what single steps are worth."""
    return RequestError(
        "--choose-steps needs the effects of single steps",
        "they are in the .effects.safetensors of a profile by the adjoint method",
        "profile with --method adjoint, or say which: --keep-steps 9-13,20",
        option="--choose-steps",
    )
