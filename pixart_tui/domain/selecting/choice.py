"""What is quantized to what, and at which steps: all that the images of a selection depend on."""

from __future__ import annotations

from collections.abc import Mapping

from pixart_tui.domain.selecting.roles import depends_on_text_alone
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.values import Value


class Choice(Value):
    """What is quantized.

    Attributes:
        assignments: Target to the name of its quant type.
        kept_steps: The steps at which nothing is quantized but what follows.
        at_every_step: Targets that are quantized at the kept steps too; what depends on the text
            alone is so in any case.
    """

    assignments: Mapping[str, str] = {}
    kept_steps: KeptSteps = NO_STEPS
    at_every_step: tuple[str, ...] = ()

    def is_at_every_step(self, target: str) -> bool:
        """Whether a target that is quantized is so at the kept steps too."""
        everywhere = not self.kept_steps or target in self.at_every_step
        return everywhere or depends_on_text_alone(target)
