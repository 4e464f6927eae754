"""Where all that can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path

from pixart_tui.runs.paths import directory_of_user, locks_root


def cache_root() -> Path:
    """The directory for what can be made again (``PIXART_TUI_CACHE`` overrides it)."""
    override = os.environ.get("PIXART_TUI_CACHE")
    if override:
        return Path(override)
    return directory_of_user("cache") or locks_root() / "cache"
