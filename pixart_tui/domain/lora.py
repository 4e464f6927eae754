"""A LoRA that is merged into the transformer: which file, and how strongly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value

ADAPTER_FILES: Final = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")
"""The names under which PEFT and diffusers save a LoRA."""
ADAPTER_CONFIG: Final = "adapter_config.json"
"""PEFT's configuration, beside its weights."""


class Lora(Value):
    """A LoRA, by its content.

    Attributes:
        path: Absolute path of its safetensors file.
        sha256: Of the file's bytes, hexadecimal.
        scale: What its weights are multiplied by, besides alpha / rank.
    """

    path: str
    sha256: str
    scale: float = 1.0

    @property
    def label(self) -> str:
        """A short name: the file's, or its folder's where every such file has that name."""
        file = Path(self.path)
        return file.parent.name if file.name in ADAPTER_FILES else file.stem

    @property
    def words(self) -> str:
        """``style.safetensors x 0.8``."""
        return f"{self.file_name} x {self.scale:g}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that name it."""
        scale = ("--lora-scale", f"{self.scale!r}") if self.scale != 1 else ()
        return ("--lora", self.path, *scale)

    @property
    def whole_words(self) -> str:
        """``style.safetensors x 0.8, sha256 0a1b...``."""
        return f"{self.words}, sha256 {self.sha256}"

    @property
    def file_name(self) -> str:
        """The file's name, with its folder's where every such file has that name."""
        file = Path(self.path)
        return f"{file.parent.name}/{file.name}" if file.name in ADAPTER_FILES else file.name


def find_lora(path: str | Path, scale: float = 1.0) -> Lora:
    """Reads which LoRA a path names.

    Args:
        path: A safetensors file, or a directory with one.
        scale: What its weights are multiplied by.

    Raises:
        RequestError: There is no such file, it is of another format, or it cannot be read.
    """
    file = _file_of(Path(path).expanduser())
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(
            f"{file} cannot be read",
            cause=error.strerror or str(error),
            next_step="check the path and its permissions",
            option="--lora",
        ) from error
    return Lora(path=str(file.absolute()), sha256=digest, scale=scale)


def _file_of(path: Path) -> Path:
    if path.is_dir():
        return _file_in(path)
    if path.is_file() and path.suffix == ".safetensors":
        return path
    there = f'it ends in "{path.suffix}"' if path.is_file() else "there is no such file"
    raise RequestError(
        f"{path} is not a LoRA file",
        cause=there,
        next_step="name a .safetensors file, or a directory with one",
        option="--lora",
    )


def _file_in(folder: Path) -> Path:
    for name in ADAPTER_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found[:3])
    raise RequestError(
        f"{folder} holds {len(found) or 'no'} safetensors files",
        cause=names or "a LoRA is read from a safetensors file alone",
        next_step="name the file with --lora",
        option="--lora",
    )
