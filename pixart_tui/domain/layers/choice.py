"""A choice: which targets are quantized to which types, and at which steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Self

from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.layers.roles import depends_on_text_alone
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.values import Value
from pixart_tui.domain.words import count

MIXED: Final = "mixed"
"""The name in place of a quant type where there are several."""


class Choice(Value):
    """Targets, their quant types, and the steps without quantization.

    Attributes:
        assignments: Target to the name of its quant type.
        kept_steps: The steps at which nothing is quantized but what follows.
        at_every_step: Targets that are quantized at the kept steps too; what depends on the text
            alone is so in any case.
    """

    assignments: Mapping[str, str] = {}
    kept_steps: KeptSteps = NO_STEPS
    at_every_step: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """As pydantic would, but that a mapping has no hash."""
        return hash((frozenset(self.assignments.items()), self.kept_steps, self.at_every_step))

    @classmethod
    def of_one(
        cls, quant_type: str, targets: Iterable[str], kept_steps: KeptSteps = NO_STEPS
    ) -> Self:
        """Targets that are all quantized to one quant type."""
        return cls(assignments=dict.fromkeys(targets, quant_type), kept_steps=kept_steps)

    @property
    def attention(self) -> tuple[str, ...]:
        """The attention modules whose products are in fp8."""
        return tuple(fqn for fqn, name in self.assignments.items() if name == FP8_ATTENTION)

    @property
    def of_layers(self) -> Self:
        """The same without attention."""
        return self.without(self.attention)

    @property
    def of_attention(self) -> Self:
        """The same without layers."""
        return self.without(self.assignments.keys() - set(self.attention))

    @property
    def quant_types(self) -> tuple[str, ...]:
        """The names of the quant types, each once."""
        return tuple(dict.fromkeys(self.assignments.values()))

    @property
    def quant_type(self) -> str | None:
        """The quant type, ``MIXED`` for several, None where nothing is quantized."""
        names = self.quant_types
        return MIXED if len(names) > 1 else next(iter(names), None)

    @property
    def layers_by_type(self) -> dict[str, int]:
        """Quant type to how many targets have it, the most first."""
        return dict(Counter(self.assignments.values()).most_common())

    @property
    def through_kept_steps(self) -> tuple[str, ...]:
        """Returns the targets that are quantized at the kept steps and computed at each of them."""
        return tuple(fqn for fqn in self.at_every_step if not depends_on_text_alone(fqn))

    def without(self, targets: Collection[str]) -> Self:
        """The same without some targets."""
        left = {fqn: name for fqn, name in self.assignments.items() if fqn not in targets}
        everywhere = tuple(fqn for fqn in self.at_every_step if fqn not in targets)
        return self.replace(assignments=left, at_every_step=everywhere)

    def is_at_every_step(self, target: str) -> bool:
        """Whether a target that is quantized is so at the kept steps too."""
        everywhere = not self.kept_steps or target in self.at_every_step
        return everywhere or depends_on_text_alone(target)


def spell_types(layers_by_type: Mapping[str, int]) -> str:
    """``12 int8_dynamic, 8 int8_weightonly`` for so many layers of these quant types."""
    return ", ".join(f"{number} {name}" for name, number in layers_by_type.items())


def spell_kept(kept: KeptSteps, steps: int, layers: int) -> str:
    """Describes the kept steps in a sentence without its full stop.

    Args:
        kept: The steps, at least one.
        steps: Denoising steps of an image.
        layers: How many layers are quantized at these too.
    """
    only = f"only {count(layers, 'layer')}" if layers else "nothing"
    verb = "are" if layers > 1 else "is"
    return f"{only} {verb} quantized at {kept.words} of {steps} steps"
