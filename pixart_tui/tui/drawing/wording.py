"""Figures in words: durations, ages, shares and losses, the same on every tab."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain import words

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400

count: Final = words.count


def duration(seconds: float | None) -> str:
    """``0:41``, ``12:05``, ``1:02:03``; a dash if it is not known."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, _MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: float) -> str:
    """``12s``, ``5m``, ``3h`` or ``2d``."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)}{unit}"
    return f"{max(0, int(seconds))}s"


def share(part: float) -> str:
    """``12.34%``."""
    return f"{100 * part:.2f}%"


def loss(value: float | None) -> str:
    """1 - SSIM with six decimals; a dash if it is not known."""
    return "-" if value is None else f"{value:.6f}"


def size(size_bytes: int) -> str:
    """``812 B``, ``3.4 KiB``, ``98.1 MiB``."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    kib = size_bytes / 1024
    return f"{kib:.1f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"
