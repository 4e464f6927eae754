"""What telling viewers of this moment costs the worker, and the process whose calls are timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pixart_tui.domain.live import Live, Pace
from pixart_tui.engine.bench.clock import WallClock
from pixart_tui.engine.bench.pace import StepPace
from pixart_tui.runs.live import write_live
from pixart_tui.worker.gauges import ProcessGauges
from pixart_tui.worker.live import PACES_KEPT, SAMPLE_EVERY_S, WRITE_EVERY_S

_TURNS: Final = 200


def sampling_cost(place: Path) -> dict[str, float]:
    """Processor time of each part, and how large ``live.json`` gets; it never grows beyond.

    Args:
        place: A directory to write to.
    """
    gauges, clock, path = ProcessGauges(), WallClock(), place / "live.json"
    pace, marks = StepPace(lambda _: None), [clock.mark()]
    full = Pace(label="none", iterations_per_s=(12.34,) * PACES_KEPT)
    live = Live(t=time.time(), cpu_cores=1, gauges=gauges.read(), pace=full)
    read_s, write_s = _each_s(gauges.read), _each_s(lambda: write_live(path, live))
    return {
        "step_end_us": round(1e6 * _each_s(lambda: pace.stepped(marks, clock), 100 * _TURNS), 3),
        "read_gauges_ms": round(1000 * read_s, 3),
        "write_live_ms": round(1000 * write_s, 3),
        "worker_cpu_share": round(read_s / SAMPLE_EVERY_S + write_s / WRITE_EVERY_S, 5),
        "live_json_bytes": path.stat().st_size,
    }


def _each_s(work: Callable[[], object], turns: int = _TURNS) -> float:
    started_s = time.process_time()
    for _ in range(turns):
        work()
    return (time.process_time() - started_s) / turns
