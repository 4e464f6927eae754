"""The values that an attempt hands to its job."""

from __future__ import annotations

from collections.abc import Callable

from pixart_tui.domain.events import Event

Emit = Callable[[Event], None]
Check = Callable[[], None]
