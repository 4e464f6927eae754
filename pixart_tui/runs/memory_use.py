"""How a run uses the memory, where it had to do with less than it began with."""

from __future__ import annotations

from pixart_tui.domain.words import count
from pixart_tui.runs.snapshot import RunSnapshot


def describe_memory(snapshot: RunSnapshot) -> str:
    """Describes the batch and why it changed; empty while nothing went wrong."""
    batch, passes = snapshot.profiling.batch, snapshot.profiling.pass_plan
    if passes is not None and passes.reason:
        samples, draws = count(passes.samples, "sample"), count(passes.draws, "draw")
        return f"passes of {samples}, {draws} at a time; {passes.reason}"
    if batch is not None and batch.reason:
        return f"images in a batch: {batch.images}; {batch.reason}"
    return ""
