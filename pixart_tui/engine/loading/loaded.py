"""The result of loading: the pipeline, and all that is known without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import SamplingRequest
from pixart_tui.domain.timesteps import check_timesteps
from pixart_tui.engine.loading.config_files import read_json
from pixart_tui.engine.typing import Pipeline

Family = Literal["alpha", "sigma"]
# diffusers and transformers ship no types; the names say what is meant.

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
        timesteps: Timesteps in place of a number of steps; empty for none.
    """

    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int
    timesteps: tuple[int, ...] = ()

    def for_request(
        self, request: SamplingRequest, timesteps: tuple[int, ...] | None = None
    ) -> CallDefaults:
        """These defaults, but for what a request says otherwise.

        Args:
            request: None in a field of it means the default.
            timesteps: Timesteps in place of those of the request.
        """
        asked = request.timesteps if timesteps is None else timesteps
        steps = request.num_inference_steps or self.num_inference_steps
        if asked:
            steps = len(asked)
        elif steps == self.num_inference_steps:
            asked = self.timesteps
        guidance = request.guidance_scale
        return CallDefaults(
            num_inference_steps=steps,
            guidance_scale=self.guidance_scale if guidance is None else guidance,
            height=request.height or self.height,
            width=request.width or self.width,
            max_sequence_length=self.max_sequence_length,
            timesteps=asked,
        )


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
        notes: Sentences about what was loaded, for the user.
    """

    pipeline: Pipeline
    name: str
    source: str
    family: Family
    fingerprint: str
    defaults: CallDefaults
    notes: tuple[str, ...] = ()


def family_of(pipeline: Pipeline) -> Family:
    """The family of a pipeline that a user loaded."""
    return "sigma" if "Sigma" in type(pipeline).__name__ else "alpha"


def stock_defaults(pipeline: Pipeline, family: Family) -> CallDefaults:
    """The defaults of the stock pipeline: 20 steps, guidance 4.5, the trained square."""
    side = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    return CallDefaults(20, 4.5, side, side, _TOKENS[family])


def read_defaults(directory: Path, stock: CallDefaults) -> CallDefaults:
    """The defaults that the model's ``pixart_tui.json`` states, over the stock ones.

    Raises:
        RequestError: The file is not JSON, a value is not a positive number, or the timesteps do
            not descend.
    """
    file = directory / DEFAULTS_FILE
    if not file.is_file():
        return stock
    stated = read_json(file, may_have_mark=True)
    known = [field.name for field in fields(CallDefaults) if field.name in stated]
    numbers = {key: stated[key] for key in known if key != "timesteps"}
    for key, value in numbers.items():
        _check_number(file, key, value)
    return replace(stock, **(numbers | _stated_steps(file, stated)))


def _stated_steps(file: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The timesteps that a model states, and how many they are."""
    given = stated.get("timesteps", [])
    if not isinstance(given, list) or not all(type(x) is int for x in given):
        raise _wrong_timesteps(file, f"timesteps is {given!r}", "whole numbers")
    if not given:
        return {}
    try:
        timesteps = check_timesteps(tuple(given))
    except RequestError as error:
        raise _wrong_timesteps(file, error.title, "whole numbers that descend") from error
    if stated.get("num_inference_steps", len(given)) != len(given):
        raise _wrong_timesteps(file, "there is another num_inference_steps", "as many as steps")
    return {"timesteps": timesteps, "num_inference_steps": len(timesteps)}


def _wrong_timesteps(file: Path, cause: str, wanted: str) -> RequestError:
    return RequestError(
        "the model's default timesteps cannot be used",
        cause=f"{file}: {cause}"[:200],
        next_step=f"Let timesteps be {wanted}, or remove it.",
    )


def _check_number(file: Path, key: str, value: object) -> None:
    guides = key == "guidance_scale"  # 0 and 1 switch it off
    allowed = (int, float) if guides else (int,)
    least = 0 if guides else 1
    if isinstance(value, allowed) and not isinstance(value, bool) and value >= least:
        return
    raise RequestError(
        "a default of the model is not a positive number",
        cause=f"{file}: {key} is {value!r}"[:200],
        next_step=f"Correct {key}, or remove the file to use the stock defaults.",
    )
