"""Weight files of a model directory: which belong together, and what a header says is in them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import parse_json
from pixart_tui.engine.loading.config_files import brief, read_json

Shape = tuple[int, ...]

_LENGTH_BYTES: Final = 8
_LFS_POINTER: Final = b"version "
_FETCH_AGAIN: Final = "Download or copy the file again."


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weight files of one component.

    Attributes:
        index: The file that says which tensor is in which shard, None for a single file.
        shards: The files with the weights, sorted.
    """

    index: Path | None
    shards: tuple[Path, ...]


def has_variant(folder: Path, variant: str) -> bool:
    """Whether a part has weights of a variant; diffusers takes the others where it has none."""
    named = (path.name.split(".")[1] for path in folder.glob("*.*.*"))
    return any(name == variant or name.startswith(f"{variant}-") for name in named)


def no_variant(model: str, variant: str) -> RequestError:
    """The error where no part of a model has a variant."""
    return RequestError(
        f"the model has no variant {variant}",
        cause=f"{model} holds no weights such as diffusion_pytorch_model.{variant}.safetensors",
        next_step="Leave out --variant, or name one that it has.",
    )


def find_weights(folder: Path, names: Sequence[str], variant: str = "") -> WeightFiles:
    """The weights in a component's folder.

    Args:
        folder: The component's folder.
        names: File names to look for, the preferred one first (``model.safetensors``).
        variant: Which weight files; a component that has none of it has those without a name.

    Raises:
        RequestError: There are none, or a shard that the index names is missing.
    """
    infix = f".{variant}" if variant and has_variant(folder, variant) else ""
    for plain in names:
        stem, _, suffix = plain.rpartition(".")
        name = f"{stem}{infix}.{suffix}"
        index = folder / f"{plain}.index{infix}.json"
        if index.is_file():
            return WeightFiles(index, _shards(index))
        if (folder / name).is_file():
            return WeightFiles(None, (folder / name,))
    raise RequestError(
        "the model has no weights",
        cause=f"{folder} holds none of {', '.join(names)}, with or without .index.json",
        next_step="Download the model again, with its safetensors files.",
    )


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise RequestError(
            "the index names no weights", cause=f"{index}: no weight_map", next_step=_FETCH_AGAIN
        )
    names = sorted({str(name) for name in weight_map.values()})
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise RequestError(
            "a shard of the model is missing",
            cause=f"{index.parent / missing[0]} is named in {index.name} and not there"
            + _and_more(missing),
            next_step="Download or copy the missing files; a stopped download leaves such gaps.",
        )
    return tuple(index.parent / name for name in names)


def tensor_shapes(file: Path) -> dict[str, Shape]:
    """Name and shape of every tensor in a weight file, without reading the tensors.

    Raises:
        RequestError: The file is shorter or longer than its header says, or cannot be read.
    """
    if file.suffix == ".safetensors":
        return _safetensors_shapes(file)
    return _pickle_shapes(file)


def _safetensors_shapes(file: Path) -> dict[str, Shape]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(_LENGTH_BYTES)
        length = int.from_bytes(prefix, "little")
        if prefix == _LFS_POINTER:
            raise _damaged(file, "is a Git LFS pointer and not the weights")
        if len(prefix) < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
            raise _damaged(file, f"ends after {size} bytes, inside its header")
        tensors = _parse_header(file, stream.read(length))
    end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    expected = _LENGTH_BYTES + length + end
    if expected != size:
        raise _damaged(file, f"has {size} bytes, its header says {expected}")
    return {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}


def _parse_header(file: Path, header: bytes) -> dict[str, Any]:
    try:
        entries = parse_json(header)
        tensors = {name: entry for name, entry in entries.items() if name != "__metadata__"}
        for tensor in tensors.values():
            int(tensor["data_offsets"][1]), tuple(tensor["shape"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(file, "has a header that is not safetensors") from error
    return tensors


def _pickle_shapes(file: Path) -> dict[str, Shape]:
    try:
        # Mapping the file and loading to meta checks the archive and reads no weights.
        mapped = zipfile.is_zipfile(file)
        state = torch.load(file, map_location="meta", weights_only=True, mmap=mapped)
        return {name: tuple(tensor.shape) for name, tensor in state.items()}
    except Exception as error:
        raise _damaged(file, f"cannot be read: {brief(error)}") from error


def _damaged(file: Path, what: str) -> RequestError:
    return RequestError(
        "a weight file is truncated or damaged", cause=f"{file} {what}", next_step=_FETCH_AGAIN
    )


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
