"""The effects of single transformer calls, read back from a profile's files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixart_tui.domain.selecting.step_effects import EffectsByType, StepEffects, with_early_shares
from pixart_tui.runs.results.effects_file import FIRST_CALLS, read_effects
from pixart_tui.runs.results.profile_files import read_profile_sidecar


def read_step_effects(paths: Sequence[Path]) -> EffectsByType | None:
    """The effects of single transformer calls that profiles have; None where one has none.

    Args:
        paths: Their JSON files, one for each quant type.

    Raises:
        RequestError: A file cannot be read, or the effects are not those of the profile.
    """
    found = {}
    for path in paths:
        record = read_profile_sidecar(path)
        if record.effects is None:
            return None
        quant_type = record.conditions.quant_type
        arrays = read_effects(path, record.effects)
        found[quant_type] = StepEffects(
            quant_type=quant_type,
            targets=tuple(score.layer.fqn for score in record.layers),
            effects=with_early_shares(
                arrays[quant_type].astype(np.float64), [x.early_share for x in record.samples]
            ),
            first_calls=arrays[FIRST_CALLS].astype(np.float64),
            saturations=tuple(x.saturation or math.inf for x in record.samples),
            prompts=tuple(x.prompt for x in record.samples),
        )
    return EffectsByType(found)
