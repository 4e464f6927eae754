"""What each memory switch costs and saves: peak, times, and the difference of the image.

    python -m benchmarks.memory --model synthetic:alpha [--quant-type T] --json FILE

Each row loads the model anew, deploys it, calls it twice to warm up, and then with prompts that
differ from call to call. The peak is that of these calls, loading not included. The rows of a
budget stand beside the estimate that they were chosen by.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixart_tui.domain.benchmarks.matrix import speeds_up
from pixart_tui.domain.deploying.deployment import COMPILERS, Compiler, Deployment, MemoryOptions
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.values import Value
from pixart_tui.engine.bench.call import BenchCall, prompts_of, resolve_call
from pixart_tui.engine.bench.memory import peak_bytes, peak_reserved_bytes, reset_peak
from pixart_tui.engine.bench.timing import synchronize
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.memory import settle_budget
from pixart_tui.engine.quant.execution import plan_choice

GIB: Final = 2**30
CALLS: Final = 6
REPEATS: Final = 5

Image = npt.NDArray[np.float32]

_8BIT: Final = MemoryOptions(text_encoder_8bit=True)
_8BIT_STRIPS: Final = MemoryOptions(text_encoder_8bit=True, vae="strips")


def _hosting(blocks: int) -> MemoryOptions:
    return _8BIT_STRIPS.replace(text_encoder_host_blocks=blocks)


OPTIONS: Final = (
    MemoryOptions(),
    MemoryOptions(vae="strips"),
    MemoryOptions(vae="tiled"),
    _8BIT,
    MemoryOptions(text_encoder_host_blocks=24),
    _hosting(2),
    _hosting(4),
    _hosting(24),
    MemoryOptions(budget_bytes=6 * GIB),
    MemoryOptions(budget_bytes=int(3.5 * GIB)),
)
"""The first one is what the others are compared with."""


class PriceRow(Value):
    """What was measured with one set of switches.

    Attributes:
        asked: The switches, or the budget.
        applied: The switches that were on; empty for none.
        estimate_bytes: The peak that a budget expected; None without a budget.
        peak_bytes: Allocated by torch over the timed calls; on a CPU, the process's.
        peak_reserved_bytes: Held by torch's allocator, pools of CUDA graphs included.
        e2e_s: Median over calls with different prompts.
        encode_s: Prompt and negative prompt, median.
        decode_s: One image, median.
        decode_max_difference: Largest difference to the first row's decoding of the same latents,
            channels being in [-1, 1].
        image_max_difference: The same for a whole call's image, channels being in [0, 1].
    """

    asked: str
    applied: str
    estimate_bytes: int | None
    peak_bytes: int
    peak_reserved_bytes: int | None
    e2e_s: float
    encode_s: float
    decode_s: float
    decode_max_difference: float
    image_max_difference: float


class Prices(Value):
    """The content of the benchmark's file."""

    machine: Machine
    versions: Versions
    date: str
    command: str
    model: str
    compiler: str
    quant_type: str | None
    rows: tuple[PriceRow, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows have in common.

    Attributes:
        model: The model.
        device: Where it runs.
        compiler: The compiler.
        quant_type: Of the transformer's layers that gain by it; None for none.
    """

    model: str
    device: torch.device
    compiler: Compiler
    quant_type: str | None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A pipeline that is ready, and how it is called.

    Attributes:
        pipeline: The pipeline.
        call: Its call, with the first prompt.
        prompts: What calls take in turn.
        memory: The switches that are on.
        estimate_bytes: The peak that a budget expected; None without a budget.
    """

    pipeline: Any
    call: BenchCall
    prompts: tuple[str, ...]
    memory: MemoryOptions
    estimate_bytes: int | None

    def image(self, turn: int) -> Image:
        """A whole call."""
        call = self.call.asking(self.prompts[turn % len(self.prompts)])
        image: Image = self.pipeline(**call.arguments(), output_type="np").images[0]
        return image

    @torch.no_grad()
    def encode(self, turn: int) -> object:
        """A prompt and the negative prompt; embeddings of the last two texts are kept."""
        return self.pipeline.encode_prompt(
            self.prompts[turn % len(self.prompts)],
            self.call.guidance_scale > 1,
            negative_prompt=self.call.negative_prompt,
            max_sequence_length=self.call.max_sequence_length,
        )

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """One image, (1, 3, height, width)."""
        decoded: Tensor = self.pipeline.vae.decode(latents, return_dict=False)[0]
        return decoded

    def latents(self) -> Tensor:
        """Latents that are the same in every row."""
        scale, vae = self.pipeline.vae_scale_factor, self.pipeline.vae
        shape = (1, vae.config.latent_channels, self.call.height // scale, self.call.width // scale)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return drawn.to(vae.device, vae.dtype)


@dataclass(frozen=True, slots=True)
class Pictures:
    """What rows are compared by.

    Attributes:
        decoded: (1, 3, height, width), float32, on the CPU.
        image: (height, width, 3).
    """

    decoded: Tensor
    image: Image


def measure(setting: Setting, options: Sequence[MemoryOptions] = OPTIONS) -> Iterator[PriceRow]:
    """One row after the other, each with a pipeline of its own."""
    first: Pictures | None = None
    for asked in options:
        deployed = _deployed(setting, asked)
        pictures = Pictures(deployed.decode(deployed.latents()).float().cpu(), deployed.image(0))
        first = first or pictures
        yield _row(asked, deployed, setting.device, pictures, first)
        del deployed
        gc.collect()
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()


def _deployed(setting: Setting, asked: MemoryOptions) -> Deployed:
    device = setting.device
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    loaded = load_pipeline(setting.model, dtype=dtype, device=device)
    request = BenchRequest(model=setting.model)
    call = resolve_call(request, loaded)
    size: dict[str, Any] = {
        "height": call.height,
        "width": call.width,
        "text_tokens": call.max_sequence_length,
        "guidance": call.guidance_scale > 1,
    }
    layers = [layer.fqn for layer in list_layers(loaded.pipeline, **size) if speeds_up(layer)]
    choice = Choice.of_one(setting.quant_type, layers) if setting.quant_type else Choice()
    deployment = Deployment(compiler=setting.compiler, choice=choice)
    memory, estimate_bytes = asked, None
    if asked.budget_bytes is not None:
        settled = settle_budget(loaded.pipeline, deployment, asked.budget_bytes, **size)
        memory, estimate_bytes = settled.options, settled.peak_bytes
    plan = plan_choice(choice, device)
    deployment = deployment.replace(memory=memory)
    deploy(loaded.pipeline, deployment, plan.execution if plan else None, device)
    return Deployed(loaded.pipeline, call, prompts_of(request, loaded), memory, estimate_bytes)


def _row(
    asked: MemoryOptions,
    deployed: Deployed,
    device: torch.device,
    pictures: Pictures,
    first: Pictures,
) -> PriceRow:
    deployed.image(0)
    reset_peak(device)
    turns = itertools.count(1)
    e2e_s = _median_s(device, lambda: deployed.image(next(turns)), CALLS)
    peaks = peak_bytes(device), peak_reserved_bytes(device)
    latents = deployed.latents()
    return PriceRow(
        asked=asked.label or "nothing",
        applied=deployed.memory.label or "nothing",
        estimate_bytes=deployed.estimate_bytes,
        peak_bytes=peaks[0],
        peak_reserved_bytes=peaks[1],
        e2e_s=e2e_s,
        encode_s=_median_s(device, lambda: deployed.encode(next(turns)), REPEATS),
        decode_s=_median_s(device, lambda: deployed.decode(latents), REPEATS),
        decode_max_difference=float((pictures.decoded - first.decoded).abs().max()),
        image_max_difference=float(np.abs(pictures.image - first.image).max()),
    )


def _median_s(device: torch.device, work: Callable[[], object], repeats: int) -> float:
    elapsed_s = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        elapsed_s.append(time.perf_counter() - started)
    return statistics.median(elapsed_s)


def table(row: PriceRow) -> str:
    """A row as a line of text."""
    reserved = "-" if row.peak_reserved_bytes is None else f"{row.peak_reserved_bytes / GIB:.2f}"
    estimate = "-" if row.estimate_bytes is None else f"{row.estimate_bytes / GIB:.2f}"
    figures = (
        f"{row.peak_bytes / GIB:.2f}",
        reserved,
        estimate,
        f"{row.e2e_s * 1000:.0f}",
        f"{row.encode_s * 1000:.1f}",
        f"{row.decode_s * 1000:.1f}",
        f"{row.decode_max_difference:.1e}",
        f"{row.image_max_difference:.1e}",
    )
    name = row.asked if row.asked == row.applied else f"{row.asked}: {row.applied}"
    return f"{name:52}" + "".join(f"{figure:>10}" for figure in figures)


HEAD: Final = f"{'':52}" + "".join(
    f"{name:>10}"
    for name in ("GiB", "reserved", "estimate", "E2E ms", "encode", "decode", "d decode", "d image")
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints a table, writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="synthetic:alpha")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compiler", choices=COMPILERS, default="torch")
    parser.add_argument("--quant-type", help="for example fp8_e4m3_e4m3_dynamic")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    setting = Setting(asked.model, torch.device(asked.device), asked.compiler, asked.quant_type)
    rows = []
    print(HEAD)
    for row in measure(setting):
        print(table(row), flush=True)
        rows.append(row)
    if asked.json is not None:
        given = sys.argv[1:] if arguments is None else arguments
        prices = Prices(
            machine=describe_machine(setting.device),
            versions=describe_versions(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=shlex.join(["python", "-m", "benchmarks.memory", *given]),
            model=setting.model,
            compiler=setting.compiler,
            quant_type=setting.quant_type,
            rows=tuple(rows),
        )
        asked.json.write_text(prices.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
