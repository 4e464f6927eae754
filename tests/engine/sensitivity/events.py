"""What a profile yields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from pixart_tui.domain.events import Event
from pixart_tui.engine.sensitivity import BaselineImage, JointImage

Yielded: TypeAlias = Event | BaselineImage | JointImage


def of(events: Iterable[Yielded], kind: type[Any]) -> list[Any]:
    """Those of one kind, in order."""
    return [event for event in events if isinstance(event, kind)]
