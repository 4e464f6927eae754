"""The directory that a model's name may be."""

from __future__ import annotations

import os
from pathlib import Path


def model_path(model: str) -> Path:
    """A model's name as a path; a ``~`` of an unknown user stays as it is."""
    return Path(os.path.expanduser(model))  # noqa: PTH111 - Path's own raises where no user is


def is_model_directory(model: str) -> bool:
    """Whether a model's name is a directory; a name that no file can have does not."""
    try:
        return model_path(model).is_dir()
    except (OSError, ValueError):
        return False
