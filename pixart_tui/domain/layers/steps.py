"""The denoising steps at which nothing is quantized."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, Final

from pydantic import Field, field_validator

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value

Number = Annotated[int, Field(ge=1)]

_RANGE: Final = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?")


class KeptSteps(Value):
    """Steps that stay in the compute dtype: transformer calls, where a step makes several.

    What depends on the text alone is computed once an image and quantized at every step.

    Attributes:
        first: How many at the beginning.
        last: How many at the end.
        numbers: Any others, counted from 1.
    """

    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0
    numbers: tuple[Number, ...] = ()

    @field_validator("numbers")
    @classmethod
    def _in_order(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(numbers)))

    def __bool__(self) -> bool:
        """Whether any step is kept."""
        return bool(self.first or self.last or self.numbers)

    def quantizes(self, step: int, steps: int) -> bool:
        """Whether a step is quantized.

        Args:
            step: Its index, from 0.
            steps: Denoising steps of an image.
        """
        return self.first <= step < steps - self.last and step + 1 not in self.numbers

    def kept(self, steps: int) -> tuple[int, ...]:
        """The indices of the kept steps, from 0, in an image of so many."""
        return tuple(step for step in range(steps) if not self.quantizes(step, steps))

    def quantized_share(self, steps: int) -> float:
        """The part of the steps that is quantized: what is left of the time saved."""
        return 1 - len(self.kept(steps)) / steps

    @property
    def words(self) -> str:
        """The steps in a few words."""
        parts = [(self.first, "first"), (self.last, "last")]
        named = [f"the {name} {count}" for count, name in parts if count]
        if self.numbers:
            named.append(f"number {spell_numbers(self.numbers)}")
        return " and ".join(named) or "none"

    @property
    def label(self) -> str:
        """A short name, empty if no step is kept."""
        parts = [(self.first, "first"), (self.last, "last")]
        named = [f"keep-{name}-{count}" for count, name in parts if count]
        if self.numbers:
            named.append(f"keep-{spell_numbers(self.numbers)}")
        return "+".join(named)

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that ask for them."""
        parts = (
            (self.numbers, "--keep-steps"),
            (self.first, "--keep-first-steps"),
            (self.last, "--keep-last-steps"),
        )
        return tuple(name for steps, name in parts if steps)

    def check_leaves_some(self, steps: int) -> None:
        """Refuses to keep every step of an image, or one that there is not.

        Raises:
            RequestError: Nothing would be quantized at any step, or there are fewer steps.
        """
        if self.numbers and self.numbers[-1] > steps:
            raise RequestError(
                f"there is no step {self.numbers[-1]}",
                cause=f"an image has {steps}",
                next_step=f"name steps from 1 to {steps}",
            )
        if self and len(self.kept(steps)) >= steps:
            raise RequestError(
                f"keeping {self.words} of {steps} steps leaves none to quantize",
                cause="nothing is quantized at a step that is kept",
                next_step="keep fewer, or ask for more --steps",
            )


NO_STEPS: Final = KeptSteps()


def parse_numbers(text: str) -> tuple[int, ...]:
    """The numbers in ``9-13,20``.

    Raises:
        RequestError: It is no list of numbers from 1 and of ranges.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        low = int(match[1]) if match else 0
        high = int(match[2]) if match and match[2] else low
        if not 1 <= low <= high:
            raise RequestError(
                f"{text!r} names no steps",
                cause=f"{part.strip()!r} is neither a number from 1 nor a range of them",
                next_step="for example: --keep-steps 9-13,20",
                option="--keep-steps",
            )
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def spell_numbers(numbers: Iterable[int]) -> str:
    """``9-13,20`` for these numbers, which are sorted."""
    return ",".join(_spell_run(run) for run in _runs(numbers))


def _runs(numbers: Iterable[int]) -> Iterator[list[int]]:
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        yield [number for _, number in run]


def _spell_run(run: Sequence[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
