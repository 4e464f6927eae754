"""Names the files of a model."""

from __future__ import annotations

import re
from pathlib import PurePath


def model_name(model: str) -> str:
    """The last part of a model's path or id, fit to name a folder.

    Args:
        model: As a request has it: a resolved directory, an id, or ``synthetic:...``.
    """
    name = re.sub(r"[\x00-\x1f\x7f:\\]", "-", PurePath(model).name)
    return name.lstrip(".") or "model"
