"""What the tests of exports share: the layers, the images, running a printed snippet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pixart_tui
from pixart_tui.domain.files.exporting.formats import ExportFormat
from pixart_tui.domain.files.exporting.snippets import snippet
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution
from tests.samples import conditions

EMBEDDED = Path(pixart_tui.__file__).parent / "assets" / "pixart-emoji"
LAYERS = (
    *(f"transformer_blocks.0.attn1.to_{name}" for name in "qkv"),
    "transformer_blocks.3.ff.net.0.proj",
    "transformer_blocks.3.ff.net.2",
    "transformer_blocks.5.attn2.to_out.0",
)


def assigned(*quant_types: str) -> Selection:
    """A selection of ``LAYERS`` with the quant types in turn."""
    assignments = {fqn: quant_types[i % len(quant_types)] for i, fqn in enumerate(LAYERS)}
    return Selection(
        rule="flops-share",
        parameter=0.1,
        quant_type=quant_types[0] if len(quant_types) == 1 else "",
        assignments=assignments,
        chosen=LAYERS,
        kept=(),
        flops_share=0.1,
        predicted_loss=0.0,
    )


def known() -> Conditions:
    """The conditions of the embedded model."""
    return conditions()


def load(dtype: str, device: str = "cpu") -> LoadedPipeline:
    return load_pipeline("pixart-emoji", dtype=getattr(torch, dtype), device=torch.device(device))


def picture(pipe: Any) -> Tensor:
    pipe.set_progress_bar_config(disable=True)
    images: Tensor = pipe(
        prompt="a red apple",
        num_inference_steps=2,
        guidance_scale=2.0,
        generator=torch.Generator("cpu").manual_seed(0),
        clean_caption=False,
        use_resolution_binning=False,
        max_sequence_length=32,
        output_type="pt",
    ).images
    return images.float().cpu()


def deployed(selection: Selection, dtype: str, device: str = "cpu") -> Tensor:
    """The image of our own deployment of a selection."""
    pipeline = load(dtype, device).pipeline
    types = {fqn: parse_quant_type(name) for fqn, name in selection.assignments.items()}
    quantize_layers(pipeline.transformer, types, execution=Execution.REAL)
    return picture(pipeline)


def run_snippet(
    export_format: ExportFormat, path: Path, selection: Selection, dtype: str, device: str = "cpu"
) -> Any:
    """The pipeline that the printed snippet makes."""
    text = snippet(
        export_format,
        path,
        selection,
        known(),
        model=str(EMBEDDED),
        device=device,
        dtype=dtype,
    )
    names: dict[str, Any] = {}
    exec(compile(text, "snippet", "exec"), names)
    return names["pipe"]
