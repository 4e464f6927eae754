"""The file with all effects of a run: float32 tensors in safetensors, hashed in the sidecars."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.onediff_file import companions
from pixart_tui.domain.files.sidecar import EffectsFile
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.runs.files import write_atomically

Arrays = Mapping[str, npt.NDArray[np.float32]]

FIRST_CALLS: Final = "first_calls"


def effects_path(profile: Path) -> Path:
    """Where the effects of a profile's JSON go."""
    return Path(companions(profile)[1])


def write_effects(path: Path, samples: Sequence[SampleEffects]) -> EffectsFile:
    """Writes the effects of a run.

    The file holds one tensor for each quant type, (samples, draws, layers, calls), float32, NaN
    where a layer has none, and ``first_calls``, (samples, draws), float32: the first call that each
    draw reached. Samples and layers are in the order of the sidecar; a sample with fewer draws than
    others is filled up with NaN.

    Args:
        path: The file.
        samples: Every sample that was measured, at least one.

    Returns:
        What the sidecars keep of it.

    Raises:
        WorkError: It cannot be written.
    """
    draws = max(len(sample.first_calls) for sample in samples)
    tensors = {
        quant_type: np.stack([_filled(s.effects[quant_type].array(), draws) for s in samples])
        for quant_type in samples[0].effects
    }
    starts = [_filled(np.array(s.first_calls, dtype=np.float32), draws) for s in samples]
    content = save({**tensors, FIRST_CALLS: np.stack(starts)})
    write_atomically(path, content)
    return EffectsFile(name=path.name, sha256=hashlib.sha256(content).hexdigest())


def read_effects(beside: Path, record: EffectsFile) -> Arrays:
    """The tensors of the file that a sidecar names.

    Args:
        beside: The sidecar's path.
        record: What the sidecar says of the file.

    Raises:
        RequestError: It cannot be read, or is another file than the sidecar was written with.
    """
    path = beside.with_name(record.name)
    again = "keep it beside the .meta.json, or profile again"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read", cause=error.strerror or str(error), next_step=again
        ) from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise RequestError(f"{path} is not what {beside.name} was written with", next_step=again)
    try:
        found: Arrays = load(content)
    except SafetensorError as error:
        raise RequestError(
            f"{path} is no safetensors file", cause=str(error), next_step=again
        ) from error
    return found


def _filled(array: npt.NDArray[np.float32], draws: int) -> npt.NDArray[np.float32]:
    """The array with as many draws as asked for."""
    missing = draws - len(array)
    return np.pad(array, [(0, missing), *[(0, 0)] * (array.ndim - 1)], constant_values=np.nan)
