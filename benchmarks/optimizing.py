"""``pixart_tui.optimize`` beside the same pipeline before it, in one process.

    python -m benchmarks.optimizing --model synthetic:alpha --json FILE

A pipeline is timed as it was loaded, optimized, timed, restored and compared: again and again for
each variant, so that a change of the clock rate meets all of them. Needs a CUDA GPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pixart_tui
from pixart_tui.domain.benchmarks.matrix import BEST_CONFIG, speeds_up
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.profiles.image_metrics import Pixels, image_similarity
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.bench.timing import timer_for
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions

_FP8 = "fp8_e4m3_e4m3_dynamic"
_PROMPT = "a lighthouse on a basalt cliff at dawn, long exposure"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to optimize.

    Attributes:
        name: Its name in the table.
        quantized: Whether the layers that fp8 makes faster are quantized.
        options: More arguments of ``optimize``.
    """

    name: str
    quantized: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("bf16"),
    Variant("fp8", quantized=True),
    Variant("fp8, fp8 attention", quantized=True, options={"fp8_attention": True}),
    Variant("fp8, 6 GiB", quantized=True, options={"memory_budget": 6.0}),
)


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="synthetic:alpha")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda")
    pipe = load_pipeline(options.model, dtype=torch.bfloat16, device=device).pipeline
    pipe.set_progress_bar_config(disable=True)
    stock = pipe.transformer.config.sample_size * pipe.vae_scale_factor
    selection = _faster_layers(pipe, stock)
    rows = []
    for variant in VARIANTS:
        before = _measured(pipe, options.steps, options.repeats)
        told: list[str] = []
        begun_s = time.perf_counter()
        chosen = selection if variant.quantized else None
        arguments = {"compiler_config": BEST_CONFIG, **variant.options}
        pixart_tui.optimize(pipe, selection=chosen, tell=told.append, **arguments)
        optimize_s = time.perf_counter() - begun_s
        after = _measured(pipe, options.steps, options.repeats)
        begun_s = time.perf_counter()
        pixart_tui.restore(pipe)
        restore_s = time.perf_counter() - begun_s
        again = _measured(pipe, options.steps, 1)
        rows.append(
            {
                "variant": variant.name,
                "before": before.figures,
                "after": after.figures,
                "speedup": after.iterations_per_s / before.iterations_per_s,
                # Eager calls wait for the host, which others use too: the fastest of each.
                "speedup_fastest": _fastest(after) / _fastest(before),
                "optimize_s": optimize_s,
                "restore_s": restore_s,
                "ssim": image_similarity(after.pixels, before.pixels).ssim,
                "restored_image_is_equal": bool(np.array_equal(again.pixels, before.pixels)),
                "told": told,
            }
        )
        _print(rows[-1])
    if options.json:
        record = {
            "command": f"python -m benchmarks.optimizing --model {options.model}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(device).model_dump(),
            "versions": dict(describe_versions()),
            "model": options.model,
            "side": stock,
            "steps": options.steps,
            "rows": rows,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def _faster_layers(pipe: Any, side: int) -> Selection:
    """The layers that fp8 makes faster, as the benchmark's matrix has them."""
    layers = list_layers(pipe, height=side, width=side, text_tokens=120)
    chosen = tuple(layer.fqn for layer in layers if speeds_up(layer))
    choice = Choice.of_one(_FP8, chosen)
    return Selection(
        rule="top-percentage",
        parameter=100,
        quant_type=_FP8,
        assignments=choice.assignments,
        chosen=chosen,
        kept=(),
        flops_share=0,
        predicted_loss=0,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    figures: dict[str, Any]
    iterations_per_s: float
    pixels: Pixels


def _measured(pipe: Any, steps: int, repeats: int) -> _Measured:
    """The speed of some calls after a first one, and an image."""
    begun_s = time.perf_counter()
    pixels = _image(pipe, steps)
    first_s = time.perf_counter() - begun_s
    torch.cuda.reset_peak_memory_stats()
    speeds, e2e_s = [], []
    for _ in range(repeats):
        timer = timer_for(torch.device("cuda"))
        begun_s = time.perf_counter()
        _image(pipe, steps, callback=timer, callback_steps=1)
        e2e_s.append(time.perf_counter() - begun_s)
        timer.finish()
        speeds.append(timer.iterations_per_s() or 0.0)
    figures = {
        "iterations_per_s": sorted(speeds),
        "e2e_s": sorted(e2e_s),
        "first_call_s": first_s,
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }
    return _Measured(figures, float(np.median(speeds)), pixels)


def _fastest(measured: _Measured) -> float:
    return float(measured.figures["iterations_per_s"][-1])


def _image(pipe: Any, steps: int, **more: Any) -> Pixels:
    image = pipe(
        _PROMPT,
        num_inference_steps=steps,
        generator=torch.Generator("cpu").manual_seed(0),
        use_resolution_binning=False,
        clean_caption=False,
        **more,
    ).images[0]
    pixels: Pixels = np.asarray(image)
    return pixels


def _print(row: dict[str, Any]) -> None:
    before, after = row["before"], row["after"]
    gib = 2**30
    print(
        f"{row['variant']:20} {np.median(before['iterations_per_s']):6.2f} -> "
        f"{np.median(after['iterations_per_s']):6.2f} it/s ({row['speedup']:.2f}x, "
        f"fastest {row['speedup_fastest']:.2f}x), "
        f"E2E {np.median(before['e2e_s']):.3f} -> {np.median(after['e2e_s']):.3f} s, "
        f"{before['peak_bytes'] / gib:.2f} -> {after['peak_bytes'] / gib:.2f} GiB, "
        f"first call {after['first_call_s']:.1f} s, optimize {row['optimize_s']:.1f} s, "
        f"restore {row['restore_s']:.1f} s, SSIM {row['ssim']:.4f}, "
        f"restored image equal: {row['restored_image_is_equal']}"
    )


if __name__ == "__main__":
    main()
