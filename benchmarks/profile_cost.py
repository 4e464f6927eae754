r"""What an exhaustive profile costs; by default 86 layers x 4 prompts x 20 steps, embedded model.

    python -m benchmarks.profile_cost [--device cpu] [--output benchmarks/results/FILE.json]
    python -m benchmarks.profile_cost --device cuda --model synthetic:alpha --execution real \
        --baseline-dtype bfloat16 --prompts 1 --steps 4 --output FILE.json

The machine should be idle. ``total_s`` is from the start of the worker to its end: importing,
loading, baseline, bf16 floor, layers, files.
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
from typing import Any, Final

from pixart_tui.domain.events import LayerMeasured, StageChanged
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.prompts import PROFILE_PROMPTS, prompts_for
from pixart_tui.machine.devices import default_threads
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.journal import read_journal
from pixart_tui.runs.process.control import start_worker
from pixart_tui.runs.run import Run, RunState

_STAGE: Final = "measuring"


def measure(asked: dict[str, Any]) -> dict[str, object]:
    """Profiles once, in a worker of its own, and returns what it cost.

    Args:
        asked: What differs from the default request.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PIXART_TUI_RUNS"] = folder
        output = str(Path(folder) / "fp8_e4m3.json")
        request = ProfileRequest(
            **asked, method="exhaustive", threads=default_threads(), output=output
        )
        run = create_run(request)
        started_s = time.perf_counter()
        start_worker(run)
        while run.poll() or not run.state().is_finished:
            time.sleep(0.05)
        return _summary(run, time.perf_counter() - started_s)


def _summary(run: Run, elapsed_s: float) -> dict[str, object]:
    plan, layers = run.snapshot.profiling.planned, run.snapshot.profiling.measured.values()
    assert run.state() is RunState.DONE, run.log_tail()
    assert plan is not None
    layers_s = [layer.elapsed_s for layer in layers]
    conditions, batch = plan.conditions, run.snapshot.profiling.batch
    assert batch is not None
    images = len(conditions.prompts) * len(conditions.seeds)
    return {
        "model": conditions.model,
        "execution": conditions.execution,
        "baseline_dtype": conditions.baseline_dtype,
        "height": conditions.height,
        "width": conditions.width,
        "excluded": len(plan.excluded),
        "batch": batch.images,
        "images_per_s": round(images * len(layers_s) / _layers_s(run), 3),
        "steps_per_s": round(
            images * len(layers_s) * conditions.num_inference_steps / _layers_s(run), 2
        ),
        "machine": plan.machine.model_dump(),
        "versions": plan.versions,
        "threads": default_threads(),
        "layers": len(layers_s),
        "prompts": len(plan.conditions.prompts),
        "seeds": len(plan.conditions.seeds),
        "steps": plan.conditions.num_inference_steps,
        "total_s": round(elapsed_s, 2),
        "layers_s": round(_layers_s(run), 2),
        "one_layer_in_its_replica_s": {
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


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "device": arguments.device,
        "model": arguments.model,
        "execution": arguments.execution,
        "baseline_dtype": arguments.baseline_dtype,
        "prompts": prompts_for(arguments.model)[: arguments.prompts],
        "num_inference_steps": arguments.steps,
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="pixart-emoji")
    parser.add_argument("--execution", default="simulated")
    parser.add_argument("--baseline-dtype", default="float32")
    parser.add_argument("--prompts", type=int, default=PROFILE_PROMPTS)
    parser.add_argument("--steps", type=int)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/cost/profile-cost-cpu.json")
    )
    arguments = parser.parse_args()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    command = "python -m benchmarks.profile_cost " + " ".join(sys.argv[1:])
    result = measure(_asked(arguments)) | {"date": date, "command": command.strip()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['layers']} layers in {result['total_s']} s; wrote {arguments.output}")


if __name__ == "__main__":
    main()
