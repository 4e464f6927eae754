"""One denoising step of the transformer alone: how long, where the time goes, how far off.

    python -m benchmarks.step_profile --model synthetic:alpha --json FILE

Eager bfloat16 and the fused executor (bfloat16, fp8 linears, fp8 linears and attention, ...) take
turns in one process on one model, so that a change of the clock rate meets all of them. Needs a
CUDA GPU. OneDiff's step-end figures and whole images are those of ``pixart-tui bench``.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from pixart_tui.domain.benchmarks.matrix import speeds_up
from pixart_tui.domain.benchmarks.rows import Statistic
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.bench.clock import CudaClock
from pixart_tui.engine.fused import fuse_transformer
from pixart_tui.engine.fused.graphs import GraphPool
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution

_SIDE = 1024
_TOP_KERNELS = 14
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the transformer.

    Attributes:
        name: Its name in the table.
        fused: Whether the fused executor runs it.
        quant_type: Of the layers that pay; None for none.
        fp8_attention: Self-attention of every n-th block multiplies in fp8; 0 for none.
    """

    name: str
    fused: bool = True
    quant_type: str | None = None
    fp8_attention: int = 0


_FP8 = "fp8_e4m3_e4m3_dynamic"
VARIANTS = (
    Variant("eager", fused=False),
    Variant("fused bf16"),
    Variant("fused fp8", quant_type=_FP8),
    Variant("fused fp8 + fp8 attention", quant_type=_FP8, fp8_attention=1),
    Variant("fused fp8 + half of it", quant_type=_FP8, fp8_attention=2),
    Variant("fused fp8 per tensor", quant_type=f"{_FP8}_per_tensor"),
    Variant("fused int8", quant_type="int8_dynamic"),
)


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="synthetic:alpha")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda")
    loaded = load_pipeline(options.model, dtype=torch.bfloat16, device=device)
    loaded.pipeline.text_encoder.to("meta")
    result = {
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m benchmarks.step_profile {' '.join(sys.argv[1:])}",
        "model": options.model,
        "variants": list(_measure(loaded, options.repeats)),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


@torch.no_grad()
def _measure(loaded: LoadedPipeline, repeats: int) -> Iterator[dict[str, Any]]:
    inputs = _inputs(loaded)
    reference = _exact(loaded, inputs)
    calls = {variant: _prepared(loaded, variant, inputs) for variant in VARIANTS}
    times = _interleaved(list(calls.values()), repeats)
    eager_s = Statistic.of(times[0]).median
    for (variant, call), samples in zip(calls.items(), times, strict=True):
        step_s = Statistic.of(samples)
        error = _error(call(), reference)
        ratio = eager_s / step_s.median
        print(
            f"{variant.name:28s} {1e3 * step_s.median:6.2f} ms  {1 / step_s.median:5.1f} it/s  "
            f"{ratio:.3f}x  error {error:.4f}",
            flush=True,
        )
        yield {
            "name": variant.name,
            "step_s": step_s.model_dump(),
            "iterations_per_s": 1 / step_s.median,
            "over_eager": ratio,
            "relative_error_to_float32": error,
            "kernels": _kernels(call),
        }


def _inputs(loaded: LoadedPipeline) -> dict[str, Any]:
    """What the pipeline passes for one image with guidance: random latents, a short prompt."""
    transformer, tokens = loaded.pipeline.transformer, loaded.defaults.max_sequence_length
    generator = torch.Generator("cuda").manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda").bfloat16()

    mask = torch.zeros(2, tokens, dtype=torch.int64, device="cuda")
    mask[0, :1], mask[1, :20] = 1, 1
    side = _SIDE // loaded.pipeline.vae_scale_factor
    size = torch.tensor([[_SIDE, _SIDE]] * 2, device="cuda").bfloat16()
    known = transformer.use_additional_conditions
    return {
        "hidden_states": randn(2, 4, side, side),
        "encoder_hidden_states": randn(2, tokens, transformer.config.caption_channels),
        "encoder_attention_mask": mask,
        "timestep": torch.tensor([500, 500], device="cuda"),
        "added_cond_kwargs": {
            "resolution": size if known else None,
            "aspect_ratio": torch.ones_like(size[:, :1]) if known else None,
        },
        "return_dict": False,
    }


def _exact(loaded: LoadedPipeline, inputs: dict[str, Any]) -> Tensor:
    transformer = copy.deepcopy(loaded.pipeline.transformer).float()

    def as_float(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: as_float(x) for name, x in value.items()}
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.float() if is_float else value

    output: Tensor = transformer(**as_float(inputs))[0]
    return output


def _prepared(
    loaded: LoadedPipeline, variant: Variant, inputs: dict[str, Any]
) -> Callable[[], Tensor]:
    transformer = copy.deepcopy(loaded.pipeline.transformer)
    if variant.quant_type is not None:
        tokens = loaded.defaults.max_sequence_length
        layers = list_layers(loaded.pipeline, height=_SIDE, width=_SIDE, text_tokens=tokens)
        quant_type = parse_quant_type(variant.quant_type)
        chosen = {layer.fqn: quant_type for layer in layers if speeds_up(layer)}
        quantize_layers(transformer, chosen, execution=Execution.REAL)
    if variant.fused:
        every = variant.fp8_attention
        blocks = range(0, transformer.config.num_layers, every) if every else ()
        names = [f"transformer_blocks.{block}.attn1" for block in blocks]
        fuse_transformer(transformer, pool=GraphPool(), fp8_attention=names)

    def call() -> Tensor:
        output: Tensor = transformer(**inputs)[0]
        return output

    for _ in range(3):
        call()
    return call


def _interleaved(calls: list[Callable[[], Tensor]], repeats: int) -> list[list[float]]:
    clock = CudaClock()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, samples in zip(calls, times, strict=True):
            call()  # the clock rate settles on this variant's load
            first = clock.mark()
            call()
            samples.append(clock.elapsed_s(first, clock.mark()))
    return times


def _error(found: Tensor, reference: Tensor) -> float:
    return float((found.float() - reference).norm() / reference.norm())


def _kernels(call: Callable[[], Tensor]) -> list[dict[str, Any]]:
    """The kernels of one step, longest first."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        call()
        torch.cuda.synchronize()
    events = sorted(profiled.key_averages(), key=lambda e: -e.device_time_total)
    return [
        {"kernel": e.key[:_NAME_LENGTH], "count": e.count, "total_ms": e.device_time_total / 1000}
        for e in events[:_TOP_KERNELS]
    ]


if __name__ == "__main__":
    main()
