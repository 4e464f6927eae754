"""The rules of selection: their names, units, ranges and usual parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pixart_tui.domain.errors import RequestError

Rule = Literal["top-percentage", "flops-share", "time-share", "saved-share", "max-loss"]


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule.

    Attributes:
        rule: Its key; the option is ``--`` and the key.
        title: Its name on screens.
        unit: The unit of its parameter, as an error says it.
        highest: The largest parameter; the smallest is 0.
        usual: The parameter to start from.
        help: The option's help.
        of_layers: Whether it counts something that attention has none of.
        by_time: Whether it needs the measured times of layers.
        one_type: Whether it chooses among layers of one quant type alone.
    """

    rule: Rule
    title: str
    unit: str
    highest: float
    usual: float
    help: str
    of_layers: bool = False
    by_time: bool = False
    one_type: bool = False

    @property
    def keyword(self) -> str:
        """The key as a parameter's name: ``flops_share``."""
        return self.rule.replace("-", "_")

    def check(self, parameter: float) -> None:
        """Checks a parameter.

        Raises:
            RequestError: It is out of range.
        """
        if not (math.isfinite(parameter) and 0 <= parameter <= self.highest):
            raise RequestError(
                f"--{self.rule} {parameter:g} is out of range",
                cause=f"it is {self.unit} from 0 to {self.highest:g}",
                next_step=f"for example: pixart-tui select last --{self.rule} {self.usual:g}",
            )


RULES: Final[Mapping[Rule, RuleSpec]] = {
    spec.rule: spec
    for spec in (
        RuleSpec(
            rule="top-percentage",
            title="top percentage",
            unit="percent",
            highest=100.0,
            usual=90.0,
            help="OneDiff's rule: 90 by default. It is about layers and keeps all attention.",
            of_layers=True,
            one_type=True,
        ),
        RuleSpec(
            rule="flops-share",
            title="FLOPs share",
            unit="a share",
            highest=1.0,
            usual=0.9,
            help="Share of linear FLOPs, 0 to 1; attention has none of them and is kept.",
            of_layers=True,
        ),
        RuleSpec(
            rule="time-share",
            title="time share",
            unit="a share",
            highest=1.0,
            usual=0.7,
            help="Share of measured linear time, 0 to 1, of layers that are faster quantized.",
            by_time=True,
        ),
        RuleSpec(
            rule="saved-share",
            title="saved share",
            unit="a share",
            highest=1.0,
            usual=0.8,
            help="Share, 0 to 1, of the time that quantizing can save at most.",
            by_time=True,
        ),
        RuleSpec(
            rule="max-loss",
            title="max loss",
            unit="1 - SSIM",
            highest=math.inf,
            usual=0.01,
            help="Largest 1 - SSIM; saves the most measured time, or moves the most FLOPs.",
        ),
    )
}
DEFAULT_RULE: Final = RULES["top-percentage"]
