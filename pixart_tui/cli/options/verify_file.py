"""Reads the settings of ``profile --verify FILE`` from the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES, default_profile_filename
from pixart_tui.runs.results.profile_files import read_claims, read_profile_file

_OPTIONS: Final[Mapping[str, str]] = {
    "prompts": "prompts",
    "negative_prompt": "negative_prompt",
    "steps": "num_inference_steps",
    "timesteps": "timesteps",
    "guidance_scale": "guidance_scale",
    "height": "height",
    "width": "width",
    "model": "model",
    "variant": "variant",
    "lora": "lora",
    "quant_type": "quant_type",
    "execution": "execution",
    "baseline_dtype": "baseline_dtype",
    "method": "method",
    "seeds": "seeds",
}
"""The command's parameters and the fields of the conditions that stand in for them."""

_STEPS: Final = frozenset(("steps", "timesteps"))
"""Either says which steps are made: giving one settles both."""


def fields_of_checked(path: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that a file settles; what was typed goes before it.

    Without a sidecar the file settles its quant type alone, by its published name.

    Args:
        path: A third party's OneDiff JSON.
        fields: What the command line says.

    Raises:
        RequestError: The file or its sidecar cannot be read.
    """
    read_claims(path)
    typed = click.get_current_context().get_parameter_source
    known: dict[str, Any] = {"checks": str(path.absolute())}
    if Path(onediff_file.sidecar_path(path)).is_file():
        conditions = read_profile_file(path).conditions
        given = {x for x in _OPTIONS if typed(x) is ParameterSource.COMMANDLINE}
        given |= {"prompts"} if fields["prompts"] else set()
        if given & _STEPS:
            given |= _STEPS
        known |= {f: getattr(conditions, f) for x, f in _OPTIONS.items() if x not in given}
    elif typed("quant_type") is not ParameterSource.COMMANDLINE:
        names = {default_profile_filename(name): name for name in QUANT_TYPE_NAMES}
        if path.name in names:
            known["quant_type"] = names[path.name]
    return known
