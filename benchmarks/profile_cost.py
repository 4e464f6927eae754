"""What an exhaustive profile of the embedded model costs: 86 layers x 4 prompts x 20 steps.

    python -m benchmarks.profile_cost [--device cpu] [--output benchmarks/results/FILE.json]

The machine should be idle. ``total_s`` is from the start of the worker to its end: importing,
loading, baseline, deployment floor, layers, files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pixart_tui.domain.events import LayerMeasured, StageChanged
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.control import start_worker
from pixart_tui.runs.devices import default_threads
from pixart_tui.runs.journal import read_journal
from pixart_tui.runs.run import Run, RunState

_STAGE: Final = "measuring"


def measure(device: str) -> dict[str, object]:
    """Profiles once, in a worker of its own, and returns what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PIXART_TUI_RUNS"] = folder
        output = str(Path(folder) / "fp8_e4m3.json")
        request = ProfileRequest(
            device=device, threads=default_threads(), method="exhaustive", output=output
        )
        run = create_run(request)
        started_s = time.perf_counter()
        start_worker(run)
        while run.poll() or not run.state().is_finished:
            time.sleep(0.05)
        return _summary(run, time.perf_counter() - started_s)


def _summary(run: Run, elapsed_s: float) -> dict[str, object]:
    plan, layers = run.snapshot.planned, run.snapshot.measured.values()
    assert run.state() is RunState.DONE, run.log_tail()
    assert plan is not None
    layers_s = [layer.elapsed_s for layer in layers]
    return {
        "machine": plan.machine.model_dump(),
        "versions": plan.versions,
        "threads": default_threads(),
        "layers": len(layers_s),
        "prompts": len(plan.conditions.prompts),
        "seeds": len(plan.conditions.seeds),
        "steps": plan.conditions.num_inference_steps,
        "total_s": round(elapsed_s, 2),
        "layers_s": round(_layers_s(run), 2),
        "one_layer_in_its_lane_s": {
            "median": round(statistics.median(layers_s), 4),
            "min": round(min(layers_s), 4),
            "max": round(max(layers_s), 4),
        },
    }


def _layers_s(run: Run) -> float:
    """Seconds from the beginning of the first layer to the end of the last."""
    entries = read_journal(run.paths.events)
    begun = [e.t for e in entries if isinstance(e.event, StageChanged) and e.event.stage == _STAGE]
    ended = [e.t for e in entries if isinstance(e.event, LayerMeasured)]
    return ended[-1] - begun[0]


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/profile-cost-cpu.json")
    )
    arguments = parser.parse_args()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    command = "python -m benchmarks.profile_cost " + " ".join(sys.argv[1:])
    result = measure(arguments.device) | {"date": date, "command": command.strip()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['layers']} layers in {result['total_s']} s; wrote {arguments.output}")


if __name__ == "__main__":
    main()
