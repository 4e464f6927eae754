"""What packing the weights of float32 linears buys on this CPU, at the embedded model's shapes.

python -m benchmarks.packed_linear [--output benchmarks/results/FILE.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch
from torch import nn

from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.packed_linear import pack_linears

SHAPES: Final = ((512, 256, 256), (512, 256, 1024), (512, 1024, 256))
REPEATS: Final = 200


def best_gflop_per_s(call: Callable[[], object], flops: int) -> float:
    """The fastest of many calls: what the processor can do when nobody disturbs it."""
    best_s = float("inf")
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        call()
        best_s = min(best_s, time.perf_counter() - start_s)
    return round(flops / best_s / 1e9, 1)


def measure() -> list[dict[str, object]]:
    """Both ways at every shape, one thread."""
    rows: list[dict[str, object]] = []
    for m, k, n in SHAPES:
        linear, x = nn.Linear(k, n), torch.randn(m, k)
        plain = best_gflop_per_s(lambda f=linear, x=x: f(x), 2 * m * k * n)  # type: ignore[misc]
        pack_linears(linear)
        packed = best_gflop_per_s(lambda f=linear, x=x: f(x), 2 * m * k * n)  # type: ignore[misc]
        rows.append({"m": m, "k": k, "n": n, "plain_gflop_s": plain, "packed_gflop_s": packed})
    return rows


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/speed/packed-linear.json")
    )
    output: Path = parser.parse_args().output
    torch.set_num_threads(1)
    with torch.inference_mode():
        rows = measure()
    result = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.packed_linear",
        "threads": 1,
        "rows": rows,
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
