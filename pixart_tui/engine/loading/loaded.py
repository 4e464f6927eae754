"""What loading hands over: the pipeline, and what is known about it without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading.config_files import read_json

Family = Literal["alpha", "sigma"]
# diffusers and transformers ship no types; the names say what is meant.
Pipeline: TypeAlias = Any
Tokenizer: TypeAlias = Any

DEFAULTS_FILE: Final = "pixart_tui.json"
_TOKENS: Final[Mapping[Family, int]] = {"alpha": 120, "sigma": 300}


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """How a pipeline is called unless the user says otherwise.

    Attributes:
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance.
        height: Image height in pixels.
        width: Image width in pixels.
        max_sequence_length: Tokens that every prompt is cut or padded to.
    """

    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A pipeline that is ready to be called.

    Attributes:
        pipeline: A diffusers ``PixArtAlphaPipeline`` or ``PixArtSigmaPipeline``.
        name: The model as it was asked for.
        source: The directory that the files came from, or ``synthetic``.
        family: ``alpha`` or ``sigma``.
        fingerprint: ``sha256:<hex>`` of the configs and weights of transformer, text encoder and
            VAE: the same for every load and dtype, another when a file changes.
        defaults: How the pipeline is called unless the user says otherwise.
    """

    pipeline: Pipeline
    name: str
    source: str
    family: Family
    fingerprint: str
    defaults: CallDefaults


def stock_defaults(pipeline: Pipeline, family: Family) -> CallDefaults:
    """The defaults of the stock pipeline: 20 steps, guidance 4.5, the trained square."""
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    return CallDefaults(20, 4.5, side, side, _TOKENS[family])


def read_defaults(directory: Path, stock: CallDefaults) -> CallDefaults:
    """The defaults that the model's ``pixart_tui.json`` states, over the stock ones.

    Raises:
        RequestError: The file is not JSON, or a value is not a positive number.
    """
    file = directory / DEFAULTS_FILE
    if not file.is_file():
        return stock
    stated = read_json(file)
    known = [field.name for field in fields(CallDefaults) if field.name in stated]
    for key in known:
        _check_number(file, key, stated[key])
    return replace(stock, **{key: stated[key] for key in known})


def _check_number(file: Path, key: str, value: object) -> None:
    allowed = (int, float) if key == "guidance_scale" else (int,)
    if isinstance(value, allowed) and not isinstance(value, bool) and value > 0:
        return
    raise RequestError(
        "a default of the model is not a positive number",
        f"{file}: {key} is {value!r}"[:200],
        f"Correct {key}, or remove the file to use the stock defaults.",
    )
