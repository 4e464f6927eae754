"""The prompts that ship with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

PROFILE_PROMPTS: Final = 4


def prompts_for(model: str) -> tuple[str, ...]:
    """Prompts that suit a model: what it was trained on, else general ones."""
    text = (files("pixart_tui") / "assets" / "prompts.json").read_text(encoding="utf-8")
    by_model: dict[str, list[str]] = json.loads(text)
    return tuple(by_model.get(model, by_model["default"]))


def default_prompts(model: str) -> tuple[str, ...]:
    """The prompts that a profile uses if it is given none."""
    return prompts_for(model)[:PROFILE_PROMPTS]
