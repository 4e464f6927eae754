"""Benchmarks: each row in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.deploying.deployment import Compiler
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.files.selection_files import selection_text
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, BenchRequest
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.library.following import carry_out
from pixart_tui.library.profiling import LoraSource, OnEvent, lora_of
from pixart_tui.library.selecting import refuse_other_type
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.runs.files import write_atomically


def bench(
    model: str = "pixart-emoji",
    *,
    variant: str = "",
    lora: LoraSource = None,
    compilers: Sequence[Compiler] = ("compile",),
    quant_type: str | None = None,
    layers: str | Path | Selection | None = None,
    top_percentage: float = 90.0,
    prompts: Sequence[str] = (),
    steps: int | None = None,
    height: int | None = None,
    width: int | None = None,
    repeats: int = 5,
    cold: bool = True,
    device: str | None = None,
    on_event: OnEvent | None = None,
) -> BenchResult:
    """Measures compilers and quantization beside the eager pipeline; rows run in processes.

    Args:
        model: ``pixart-emoji``, a directory, a Hugging Face id, or ``synthetic:...``.
        variant: As of :func:`load`.
        lora: As of :func:`load`.
        compilers: One row each; the eager pipeline is always measured.
        quant_type: Measure each row quantized too; None for not, or for what a selection says.
        layers: Which layers: a selection, whatever its quant types and kept steps, or a JSON of
            layers; None for every layer that the kernels can run.
        top_percentage: The share of the layers of OneDiff's JSON, by count.
        prompts: The prompts; empty for those that ship with the package.
        steps: Denoising steps; None for the model's default, as for the next two.
        height: Pixels.
        width: Pixels.
        repeats: Timed calls.
        cold: Whether a start with empty compiler caches is measured.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if there is one.
        on_event: Called with each event.

    Raises:
        RequestError: Something that cannot be done as asked.
        WorkError: The benchmark failed.
    """
    with TemporaryDirectory() as folder:
        request = BenchRequest(
            model=model,
            variant=variant,
            lora=lora_of(lora),
            compilers=tuple(dict.fromkeys(("none", *compilers))),
            **_quantization(layers, quant_type, top_percentage, Path(folder)),
            prompts=tuple(prompts),
            num_inference_steps=steps,
            height=height,
            width=width,
            repeats=repeats,
            cold=cold,
            device=device or default_device(),
            threads=default_threads(),
            command="pixart_tui.bench",
        )
        result = carry_out(request, on_event).snapshot.benchmark.result
        assert result is not None
        return result


def _quantization(
    layers: str | Path | Selection | None,
    quant_type: str | None,
    top_percentage: float,
    folder: Path,
) -> dict[str, Any]:
    """The fields of a request that say what is quantized; a selection is written to a folder."""
    fields: dict[str, Any] = {
        "quantize": quant_type is not None,
        "quant_type": parse_quant_type(quant_type or DEFAULT_QUANT_TYPE).name,
    }
    if layers is None:
        return fields
    choice: Choice | None
    if isinstance(layers, Selection):
        path, choice = folder / "selection.json", layers.choice
        # The order is all that is read of the figures where all layers are taken.
        write_atomically(path, selection_text(layers, dict.fromkeys(layers.chosen, 1.0)))
    else:
        path = Path(layers).absolute()
        choice = layer_file.read(path).mixed
    fields |= {"quant_submodules_config_path": str(path), "top_percentage": top_percentage}
    if choice is None:
        return fields
    refuse_other_type(quant_type, choice)
    own = choice.quant_type or DEFAULT_QUANT_TYPE
    return fields | {"quantize": True, "quant_type": own, "top_percentage": 100.0}
