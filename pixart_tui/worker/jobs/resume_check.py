"""A resumed run must find what it began with."""

from __future__ import annotations

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ComparePlanned, VerifyPlanned


def refuse_another(
    before: VerifyPlanned | ComparePlanned | None,
    now: VerifyPlanned | ComparePlanned,
    again: str,
) -> None:
    """Refuses to mix measurements of different plans in one run.

    Args:
        before: The plan of the attempts before, None for the first.
        now: The plan of this attempt.
        again: The command that starts a new run.

    Raises:
        RequestError: The two differ.
    """
    if before is None or before == now:
        return
    pairs = zip(before, now, strict=True)
    differing = [name for (name, old), (_, new) in pairs if old != new]
    raise RequestError(
        "this run was measured on something else than what is here now",
        cause="different: " + ", ".join(differing),
        next_step=f"start a new one with: {again}",
    )
