"""What the header of a weight file says is in it."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import parse_json
from pixart_tui.engine.loading.config_files import brief

Shape = tuple[int, ...]

_LENGTH_BYTES: Final = 8
_LFS_POINTER: Final = b"version "
_NARROW: Final = re.compile(r"[FIU][48](_|$)")
_FETCH_AGAIN: Final = "Download or copy the file again."


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What a weight file says of a tensor.

    Attributes:
        shape: Its shape.
        dtype: Its dtype, as the file spells it.
        is_narrow: Whether an element has 8 bits or fewer: no dtype that weights are trained in.
    """

    shape: Shape
    dtype: str
    is_narrow: bool = False


def tensor_headers(file: Path) -> dict[str, TensorHeader]:
    """Name, shape and dtype of every tensor in a weight file, without reading the tensors.

    Raises:
        RequestError: The file is shorter or longer than its header says, or cannot be read.
    """
    if file.suffix == ".safetensors":
        return _safetensors_headers(file)
    return _pickle_headers(file)


def _safetensors_headers(file: Path) -> dict[str, TensorHeader]:
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
    return {
        name: TensorHeader(tuple(x["shape"]), x["dtype"], _NARROW.match(x["dtype"]) is not None)
        for name, x in tensors.items()
    }


def _parse_header(file: Path, header: bytes) -> dict[str, Any]:
    try:
        entries = parse_json(header)
        tensors = {name: entry for name, entry in entries.items() if name != "__metadata__"}
        for tensor in tensors.values():
            int(tensor["data_offsets"][1]), tuple(tensor["shape"]), _NARROW.match(tensor["dtype"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(file, "has a header that is not safetensors") from error
    return tensors


def _pickle_headers(file: Path) -> dict[str, TensorHeader]:
    try:
        # Mapping the file and loading to meta checks the archive and reads no weights.
        mapped = zipfile.is_zipfile(file)
        state = torch.load(file, map_location="meta", weights_only=True, mmap=mapped)
        return {name: _header_of(tensor) for name, tensor in state.items()}
    except Exception as error:
        raise _damaged(file, f"cannot be read: {brief(error)}") from error


def _header_of(tensor: torch.Tensor) -> TensorHeader:
    narrow = tensor.element_size() == 1 and tensor.dtype is not torch.bool
    return TensorHeader(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), narrow)


def _damaged(file: Path, what: str) -> RequestError:
    return RequestError(
        "a weight file is truncated or damaged", cause=f"{file} {what}", next_step=_FETCH_AGAIN
    )
