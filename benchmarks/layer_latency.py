"""How long each shape of linear layer takes, in bfloat16 and in several quant types.

    python -m benchmarks.layer_latency --model synthetic:alpha --json FILE

The figures are those that a profile stores and ``select --time-share`` uses: quantizing the
activation included, CUDA graphs, weights and inputs rotating through more memory than the cache
holds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pixart_tui.domain.layers.latency import LinearShape
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.latency import KERNELS, measure_latency
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions

QUANT_TYPES = ("fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor", "int8_dynamic")


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="synthetic:alpha")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quant-type", action="append", dest="quant_types")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    result = {
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m benchmarks.layer_latency {' '.join(sys.argv[1:])}",
        "model": options.model,
        "kernels": KERNELS,
        "rows": list(_rows(options.model, options.quant_types or QUANT_TYPES, device)),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _rows(
    model: str, quant_types: tuple[str, ...], device: torch.device
) -> Iterator[dict[str, Any]]:
    for layers in _by_shape(model):
        row = _row(layers, quant_types, device)
        print(_line(row), flush=True)
        yield row


def _by_shape(model: str) -> list[list[Layer]]:
    """Layers of one shape together, the largest shape first."""
    loaded = load_pipeline(model, dtype=torch.bfloat16, device=torch.device("meta"))
    defaults = loaded.defaults
    layers = list_layers(
        loaded.pipeline,
        height=defaults.height,
        width=defaults.width,
        text_tokens=defaults.max_sequence_length,
        guidance=defaults.guidance_scale > 1,
    )
    groups: dict[LinearShape, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(LinearShape.of(layer), []).append(layer)
    return sorted(groups.values(), key=lambda group: -group[0].flops)


def _row(layers: list[Layer], quant_types: tuple[str, ...], device: torch.device) -> dict[str, Any]:
    shape = LinearShape.of(layers[0])
    measured = {
        name: measure_latency(layers[0], parse_quant_type(name), device).model_dump()
        for name in quant_types
    }
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    return {
        "shape": shape.model_dump(),
        "kinds": kinds,
        "layers": len(layers),
        "latency_s": measured,
    }


def _line(row: dict[str, Any]) -> str:
    shape = row["shape"]
    times = "  ".join(_times(x) for x in row["latency_s"].values())
    size = f"{shape['rows']} x {shape['in_features']} -> {shape['out_features']}"
    return f"{row['layers']:4} {size:24} {times}  {', '.join(row['kinds'])}"[:160]


def _times(latency: dict[str, Any]) -> str:
    quantized = latency["quantized"]
    after = latency["reason"] if quantized is None else f"{1e6 * quantized:.1f}"
    return f"{1e6 * latency['unquantized']:.1f} -> {after} us"


if __name__ == "__main__":
    main()
