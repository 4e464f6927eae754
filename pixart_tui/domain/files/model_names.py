"""Names the files of a model."""

from __future__ import annotations

import re
from pathlib import PurePath

from pixart_tui.domain.lora import Lora


def model_name(model: str) -> str:
    """The last part of a model's path or id, fit to name a folder.

    Args:
        model: As a request has it: a resolved directory, an id, or ``synthetic:...``.
    """
    return _fit(PurePath(model).name) or "model"


def weights_name(variant: str, lora: Lora | None) -> str:
    """Names what differs from a model's usual weights: ``fp16-lora-style``, or nothing."""
    scale = f"-x{lora.scale:g}" if lora and lora.scale != 1 else ""
    return _fit("-".join(filter(None, (variant, f"lora-{lora.label}{scale}" if lora else ""))))


def _fit(name: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f:\\/]", "-", name).lstrip(".")
