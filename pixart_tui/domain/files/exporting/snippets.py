"""Snippets that use an export."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath
from typing import Final

from pixart_tui.domain.files.exporting.formats import ExportFormat
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.plain_text import visible
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.selecting.selection import Selection

_PUBLISHED: Final = {
    "alpha": "PixArt-alpha/PixArt-XL-2-1024-MS",
    "sigma": "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
}
_PIPELINES: Final = {"alpha": "PixArtAlphaPipeline", "sigma": "PixArtSigmaPipeline"}


def snippet(
    export_format: ExportFormat,
    path: PurePath,
    selection: Selection,
    conditions: Conditions,
    *,
    model: str,
    device: str,
    dtype: str,
    top_percentage: float = 100,
) -> str:
    """Python that uses an export, ready to be run; for OneDiff its command line too.

    Args:
        export_format: The format.
        path: What was written.
        selection: What was exported.
        conditions: What it was measured on.
        model: Where plain diffusers finds the model.
        device: Where it will run.
        dtype: In what.
        top_percentage: What OneDiff has to be given.
    """
    pipeline = _PIPELINES[conditions.family]
    variant = f", variant={_quoted(conditions.variant)}" if conditions.variant else ""
    load = f"""\
pipe = {pipeline}.from_pretrained(
    {_quoted(model)}, torch_dtype=torch.{dtype}{variant}
).to("{device}")"""
    if conditions.lora is not None:
        load = _with_lora(conditions, conditions.lora, device, dtype)
    match export_format:
        case "onediff":
            return _onediff(path, selection, top_percentage, pipeline, load)
        case "torchao":
            return _torchao(path, pipeline, load)
        case "diffusers":
            return _diffusers(path, pipeline, model, device, dtype)
        case "modelopt":
            return _modelopt(path, pipeline, load)


def diffusers_model(conditions: Conditions, embedded: PurePath) -> str:
    """Where plain diffusers finds a profile's model; published weights for a synthetic shape."""
    if conditions.model == "pixart-emoji":
        return str(embedded)
    if conditions.model.startswith("synthetic:"):
        return _PUBLISHED[conditions.family]
    return conditions.model


def _with_lora(conditions: Conditions, lora: Lora, device: str, dtype: str) -> str:
    """Loads the model with its LoRA merged, which diffusers' PixArt pipelines cannot do."""
    return f"""\
from pixart_tui import find_lora, load

pipe = load(
    {_quoted(conditions.model)},
    variant={_quoted(conditions.variant)},
    lora=find_lora({_quoted(lora.path)}, {lora.scale!r}),
    dtype=torch.{dtype},
    device="{device}",
)"""


def _onediff(
    path: PurePath, selection: Selection, top_percentage: float, pipeline: str, load: str
) -> str:
    quant_type = selection.quant_type
    config = json.dumps({"quant_type": quant_type, "top_percentage": top_percentage})
    return f"""\
# OneDiff's text_to_image.py:
#   --quantize --quantize-config '{config}' \\
#   --quant-submodules-config-path {shlex.quote(visible(str(path)))}
import torch
from diffusers import {pipeline}
from onediffx import compile_pipe, quantize_pipe

{load}
pipe = quantize_pipe(
    pipe,
    quant_submodules_config_path={_quoted(path)},
    top_percentage={top_percentage:g},
    quant_type="{quant_type}",
)
pipe = compile_pipe(pipe, backend="nexfort", fuse_qkv_projections=True)
"""


def _torchao(path: PurePath, pipeline: str, load: str) -> str:
    return f"""\
import json

import torch
from diffusers import {pipeline}
from torchao.core.config import config_from_dict
from torchao.quantization import quantize_

{load}
with open({_quoted(path)}) as file:
    config = config_from_dict(json.load(file))
quantize_(pipe.transformer, config, filter_fn=None)
"""


def _diffusers(path: PurePath, pipeline: str, model: str, device: str, dtype: str) -> str:
    return f"""\
import torch
from diffusers import {pipeline}, PixArtTransformer2DModel

transformer = PixArtTransformer2DModel.from_pretrained(
    {_quoted(path)}, torch_dtype=torch.{dtype}
)
pipe = {pipeline}.from_pretrained(
    {_quoted(model)}, transformer=transformer, torch_dtype=torch.{dtype}
).to("{device}")
"""


def _modelopt(path: PurePath, pipeline: str, load: str) -> str:
    read = (
        f'config = runpy.run_path({_quoted(path)})["QUANT_CONFIG"]'
        if path.suffix == ".py"
        else f"config = json.load(open({_quoted(path)}))"
    )
    module = "runpy" if path.suffix == ".py" else "json"
    return f"""\
import {module}

import modelopt.torch.quantization as mtq
import torch
from diffusers import {pipeline}

{load}
{read}


def calibrate(transformer):
    pipe("a photo", num_inference_steps=2, use_resolution_binning=False)


mtq.quantize(pipe.transformer, config, calibrate)
"""


def _quoted(text: PurePath | str) -> str:
    """As a Python string, whatever is in it."""
    return json.dumps(str(text))
