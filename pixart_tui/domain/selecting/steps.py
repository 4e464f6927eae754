"""The denoising steps at which nothing is quantized."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value


class KeptSteps(Value):
    """The first and the last steps, which stay in the compute dtype.

    What depends on the text alone is computed once an image and quantized at every step.

    Attributes:
        first: How many at the beginning.
        last: How many at the end.
    """

    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0

    def __bool__(self) -> bool:
        """Whether any step is kept."""
        return bool(self.first or self.last)

    def quantizes(self, step: int, steps: int) -> bool:
        """Whether a step is quantized.

        Args:
            step: Its index, from 0.
            steps: Denoising steps of an image.
        """
        return self.first <= step < steps - self.last

    def quantized_share(self, steps: int) -> float:
        """The part of the steps that is quantized: what is left of the time saved."""
        return max(steps - self.first - self.last, 0) / steps

    @property
    def words(self) -> str:
        """The steps in a few words."""
        parts = [(self.first, "first"), (self.last, "last")]
        return " and ".join(f"the {name} {count}" for count, name in parts if count) or "none"

    @property
    def label(self) -> str:
        """A short name, empty if no step is kept."""
        parts = [(self.first, "first"), (self.last, "last")]
        return "+".join(f"keep-{name}-{count}" for count, name in parts if count)

    def check_leaves_some(self, steps: int) -> None:
        """Refuses to keep every step of an image.

        Raises:
            RequestError: Nothing would be quantized at any step.
        """
        if self and self.first + self.last >= steps:
            raise RequestError(
                f"keeping {self.words} of {steps} steps leaves none to quantize",
                "nothing is quantized at a step that is kept",
                "keep fewer, or ask for more --steps",
            )


NO_STEPS: Final = KeptSteps()
