"""Words that screens, tables and reports share."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """``1 prompt``, ``4 prompts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
