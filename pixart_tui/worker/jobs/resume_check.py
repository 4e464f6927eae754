"""A resumed run must find what it began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ComparePlanned, ProfilePlanned, VerifyPlanned

Plan = TypeVar("Plan", ProfilePlanned, VerifyPlanned, ComparePlanned)


def refuse_another(before: Plan | None, now: Plan, again: str) -> None:
    """Refuses to mix measurements of different plans in one run.

    Args:
        before: The plan of the attempts before, None for the first.
        now: The plan of this attempt.
        again: The command that starts a new run.

    Raises:
        RequestError: The two differ.
    """
    if before is None:
        return
    old, new = _parts(before), _parts(now)
    if differing := [name for name in old if old[name] != new[name]]:
        raise RequestError(
            "this run was measured on something else than what is here now",
            cause="different: " + ", ".join(differing),
            next_step=f"start a new run with: {again}",
        )


def _parts(plan: Plan) -> Mapping[str, object]:
    """All that measurements depend on: of the machine its device, whatever works side by side."""
    parts = {name: value for name, value in plan if name not in ("machine", "replicas")}
    return {"device": plan.machine.device_name, **parts}
