r"""The adjoint method's cost at full size: seconds of the layers' part and peak GPU memory.

    python -m benchmarks.adjoint_cost --model synthetic:alpha --device cuda \
        --baseline-dtype bfloat16 --prompts 8 --seeds 2 --draws 4 --output FILE.json

``measuring_s`` is the layers' part, from the first sample to the last. Peaks are those of PyTorch's
allocator from before the model is loaded. The device should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui import library
from pixart_tui.domain.events import Event, SampleMeasured
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for

_QUANT_TYPES: Final = (
    "fp8_e4m3_e4m3_dynamic",
    "fp8_e4m3_e4m3_dynamic_per_tensor",
    "int8_dynamic",
)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Profiles once, in this process, and returns what it cost; ``--keep`` writes the profiles."""
    device = torch.device(options.device)
    samples_s: list[float] = []

    def told(event: Event) -> None:
        if isinstance(event, SampleMeasured):
            samples_s.append(event.sample.elapsed_s)
            print(f"sample {len(samples_s)}: {event.sample.elapsed_s:.1f} s", flush=True)

    first, *others = options.quant_types
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start_s = time.perf_counter()
    made = library.profile(
        options.model,
        quant_type=first,
        more_quant_types=others,
        fp8_attention=options.fp8_attention,
        draws=options.draws,
        all_samples=True,
        prompts=prompts_for(options.model)[: options.prompts],
        seeds=options.seeds,
        steps=options.steps,
        baseline_dtype=options.baseline_dtype,
        low_memory=options.low_memory,
        device=options.device,
        on_event=told,
    )
    elapsed_s = time.perf_counter() - start_s
    on_gpu = device.type == "cuda"
    if options.keep is not None:
        made.save(options.keep)
    conditions = made.profile.conditions
    return {
        "model": conditions.model,
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "height": conditions.height,
        "width": conditions.width,
        "steps": conditions.num_inference_steps,
        "guidance_scale": conditions.guidance_scale,
        "baseline_dtype": conditions.baseline_dtype,
        "layers": len(made.record.layers),
        "quant_types": list(options.quant_types),
        "fp8_attention": options.fp8_attention,
        "samples": len(samples_s),
        "draws": options.draws,
        "low_memory": options.low_memory,
        "measuring_s": made.record.measuring_s,
        "sample_s": [round(x, 2) for x in samples_s],
        "total_s": round(elapsed_s, 2),
        "peak_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(device) if on_gpu else None,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="pixart-emoji")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--baseline-dtype", default="float32")
    parser.add_argument("--quant-types", nargs="+", default=list(_QUANT_TYPES))
    parser.add_argument("--fp8-attention", action="store_true")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--low-memory", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE.json", help="write the profiles")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    told = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.adjoint_cost", *sys.argv[1:]]),
    }
    result = told | measure(options)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    peak = result["peak_bytes"] or 0
    print(f"{result['measuring_s']:.1f} s for the layers, {peak / 2**30:.1f} GiB at most")


if __name__ == "__main__":
    main()
