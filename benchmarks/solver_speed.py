"""How long a selection takes to solve again: 290 layers, three quant types, made-up losses.

python -m benchmarks.solver_speed [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from pixart_tui.domain.selecting.menu import Menu, Option, Target
from pixart_tui.domain.selection import choose
from pixart_tui.engine.machine import describe_machine, describe_versions

_TYPES: Final = {"fp8": (1.0, 0.13), "fp8 per tensor": (1.1, 0.05), "int8": (0.2, 0.04)}
_KINDS: Final = {
    **dict.fromkeys(("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"), 1.0),
    **dict.fromkeys(("attn2.to_q", "attn2.to_out.0"), 1.0),
    **dict.fromkeys(("attn2.to_k", "attn2.to_v"), 0.03),
    **dict.fromkeys(("ff.net.0.proj", "ff.net.2"), 4.0),
}
"""Layers of a block and their FLOPs, relative; losses and savings above are relative too."""


def menu(seed: int) -> Menu:
    """28 blocks of ten layers and ten others; losses over three decades, at random."""
    generator = np.random.default_rng(seed)
    flops = {f"transformer_blocks.{i}.{k}": f for i in range(28) for k, f in _KINDS.items()}
    flops |= {f"other.{i}": 0.01 for i in range(10)}
    targets, options = [], []
    for name, share in flops.items():
        time_s = 1e-5 * share
        targets.append(Target(name=name, flops=int(1e9 * share), unquantized_s=time_s))
        base = 10 ** generator.uniform(-6.5, -3.7)
        for kind, (loss, saved) in _TYPES.items():
            ssim = 1 - loss * base * float(generator.uniform(0.7, 1.4))
            saved_s = saved * time_s
            option = Option(target=name, quant_type=kind, ssim=ssim, saved_s=saved_s, pays=True)
            options.append(option)
    return Menu(targets=tuple(targets), options=tuple(options), quant_types=tuple(_TYPES))


def measure(fused: bool) -> dict[str, Any]:
    """Milliseconds of one solve, over budgets and menus."""
    import scipy.optimize  # noqa: F401 - half a second, once

    found = []
    for seed in range(5):
        made = menu(seed)
        for budget in (1e-4, 3e-4, 1e-3, 2e-3, 5e-3):
            start_s = time.perf_counter()
            choose(made, "max-loss", budget, fused=fused)
            found.append(1000 * (time.perf_counter() - start_s))
    return {"median": statistics.median(found), "max": max(found), "n": len(found)}


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/solver-speed.json"))
    arguments = parser.parse_args()
    result = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.solver_speed",
        "targets": 290,
        "quant_types": 3,
        "solve_ms": measure(fused=False),
        "solve_fused_ms": measure(fused=True),
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(result["solve_ms"], result["solve_fused_ms"])


if __name__ == "__main__":
    main()
