"""What an exhaustive profile of the embedded model costs: 86 layers x 4 prompts x 20 steps.

    python -m benchmarks.profile_cost [--device cpu] [--output benchmarks/results/FILE.json]

The machine should be idle. The time is that of the whole job in one process, loading included,
as ``pixart-tui profile`` does it without a viewer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pixart_tui.domain.events import LayerMeasured, ProfilePlanned
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.sensitivity import profile_model


def measure(device: str) -> dict[str, object]:
    """Profiles once and returns what it cost."""
    request = ProfileRequest(
        device=device, threads=len(os.sched_getaffinity(0)), output="not written"
    )
    start_s, before_layers_s, layers_s = time.perf_counter(), 0.0, []
    plan: ProfilePlanned | None = None
    for event in profile_model(request):
        if isinstance(event, ProfilePlanned):
            plan = event
        elif isinstance(event, LayerMeasured):
            before_layers_s = before_layers_s or time.perf_counter() - start_s - event.elapsed_s
            layers_s.append(event.elapsed_s)
    assert plan is not None
    return {
        "machine": plan.machine.model_dump(),
        "versions": plan.versions,
        "layers": len(layers_s),
        "prompts": len(plan.conditions.prompts),
        "seeds": len(plan.conditions.seeds),
        "steps": plan.conditions.num_inference_steps,
        "total_s": round(time.perf_counter() - start_s, 2),
        "before_layers_s": round(before_layers_s, 2),
        "per_layer_s": {
            "median": round(statistics.median(layers_s), 4),
            "min": round(min(layers_s), 4),
            "max": round(max(layers_s), 4),
        },
    }


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
