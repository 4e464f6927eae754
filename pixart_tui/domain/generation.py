"""Making images with one setting: the call's options, what was found, and the lines that say it.

The lines are those of OneDiff's ``text_to_image.py``, which scripts read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.suggestions import closest
from pixart_tui.domain.timesteps import Timesteps
from pixart_tui.domain.values import Value, parse_json

RULE: Final = "======================================="
Purpose: TypeAlias = Literal["warm-up", "image", "resolution", "throughput"]
"""The purpose of a pipeline call."""

NO_OUTPUT_LINE: Final = "Please set `--output-image` to save the output image"

_FLAGS: Final = {
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "num_inference_steps": "--steps",
    "height": "--height",
    "width": "--width",
    "num_images_per_prompt": "--batch",
    "generator": "--seed",
}
"""Arguments of the call that have a flag of their own."""


class CallOptions(Value):
    """Arguments of the stock pipeline call that have no flag; None and () leave its default.

    Attributes:
        guidance_scale: Classifier-free guidance; 1 or less switches it off.
        eta: Noise of the DDIM scheduler.
        timesteps: Timesteps in place of a number of steps, descending.
        sigmas: Noise levels in place of a number of steps, descending.
        clean_caption: Whether the prompt is cleaned of markup, where the packages for it are.
        use_resolution_binning: Whether an image is drawn at the nearest size that the model was
            trained on.
        max_sequence_length: Tokens that the prompt is cut or padded to.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    timesteps: Annotated[Timesteps, Field(strict=False)] = ()
    sigmas: Annotated[tuple[float, ...], Field(strict=False)] = ()
    clean_caption: bool | None = None
    use_resolution_binning: bool | None = None
    max_sequence_length: Annotated[int, Field(ge=1, le=4096)] | None = None

    def arguments(self) -> dict[str, Any]:
        """The options that are set, as the call takes them."""
        given = {name: value for name, value in self if value not in (None, ())}
        return {name: list(x) if isinstance(x, tuple) else x for name, x in given.items()}


def parse_call_options(text: str) -> CallOptions:
    """The options that ``--extra-call-kwargs`` says.

    Raises:
        RequestError: Not a JSON object, an argument that is unknown or has a flag of its own, or
            a value that it cannot take.
    """
    try:
        given = parse_json(text)
    except json.JSONDecodeError as error:
        raise _not_an_object(f"column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise _not_an_object("it is nested too deeply or holds too large a number") from error
    if not isinstance(given, dict):
        raise _not_an_object("it is not an object")
    _refuse_others(given)
    try:
        return CallOptions.model_validate(given)
    except ValidationError as error:
        found = error.errors()[0]
        raise RequestError(
            f'--extra-call-kwargs: "{found["loc"][0]}" cannot have that value',
            cause=found["msg"],
            next_step="for example: --extra-call-kwargs '{\"guidance_scale\": 4.5}'",
        ) from error


def _refuse_others(given: dict[str, Any]) -> None:
    known = tuple(CallOptions.model_fields)
    for name in given:
        if name in _FLAGS:
            raise RequestError(
                f'--extra-call-kwargs: "{name}" has a flag of its own',
                cause="given twice, nothing tells which one is meant",
                next_step=f"use {_FLAGS[name]}",
            )
        if name not in known:
            raise RequestError(
                f"--extra-call-kwargs: the pipeline call takes no {json.dumps(name[:60])} here",
                cause=f"known: {', '.join(known)}",
                next_step=f'write "{closest(name, known)}"',
            )


def _not_an_object(cause: str) -> RequestError:
    example = """--extra-call-kwargs '{"guidance_scale": 4.5}'"""
    return RequestError(
        "--extra-call-kwargs is not a JSON object", cause=cause, next_step=f"for example: {example}"
    )


class PipelineCall(Value):
    """One pipeline call that has ended.

    Attributes:
        purpose: What it was for.
        height: Pixels that were asked for.
        width: Pixels that were asked for.
        steps: Denoising steps.
        elapsed_s: Prompt to image.
        iterations_per_s: Between step-end events, None with fewer than two steps.
        peak_bytes: Most memory by then, of the image's call alone.
    """

    purpose: Purpose
    height: int
    width: int
    steps: int
    elapsed_s: float
    iterations_per_s: float | None = None
    peak_bytes: int | None = None


class GenerationPlan(Value):
    """The plan of a generation.

    Attributes:
        machine: Where.
        versions: With what.
        model_fingerprint: Hash over the model's configurations and weights, and the LoRA.
        lora: The LoRA that is merged into the transformer, None for none.
        dtype: The compute dtype.
        scheduler: The scheduler's class.
        steps: Denoising steps of the image.
        guidance_scale: Classifier-free guidance.
        compiler_config: What the compiler does here, as JSON text; empty for nothing.
        quantized_layers: How many layers are quantized; None where nexfort decides.
        execution: Whether what is quantized runs for real; empty where nothing is.
        total_steps: Denoising steps of all calls.
    """

    machine: Machine
    versions: Versions
    model_fingerprint: str
    lora: Lora | None = None
    dtype: str
    scheduler: str
    steps: int
    guidance_scale: float
    compiler_config: str = ""
    quantized_layers: int | None = 0
    execution: Literal["", "real", "simulated"] = ""
    total_steps: int = 0


@dataclass(frozen=True, slots=True)
class LinearFit:
    """Seconds of a call as ``per_step_s * steps + base_s``."""

    per_step_s: float
    base_s: float


def fit_line(steps: Sequence[int], elapsed_s: Sequence[float]) -> LinearFit:
    """The least-squares line through at least two calls of different steps."""
    import numpy as np  # only now: the dashboard needs none of it

    per_step_s, base_s = np.polyfit(steps, elapsed_s, 1)
    return LinearFit(float(per_step_s), float(base_s))


def result_lines(
    plan: GenerationPlan, calls: Sequence[PipelineCall], *, saved: bool, backend: str = ""
) -> Iterator[str]:
    """Yields the lines that OneDiff's script prints for these calls, in its order.

    Args:
        plan: What was planned.
        calls: The calls, in order.
        saved: Whether the image was saved where the user said.
        backend: ``nexfort`` or ``oneflow`` where one of them compiled.
    """
    simulated = plan.execution == "simulated"
    if backend:
        yield f"{backend.capitalize()} backend is now active..."
    yield from _warmup_lines(_of(calls, "warm-up"), simulated)
    for call in _of(calls, "image"):
        yield from _image_lines(call, plan.machine.device, simulated)
        if not saved:
            yield NO_OUTPUT_LINE
    yield from _resolution_lines(_of(calls, "resolution"), simulated)
    yield from _throughput_lines(_of(calls, "throughput"), simulated)


def _of(calls: Sequence[PipelineCall], purpose: Purpose) -> list[PipelineCall]:
    return [call for call in calls if call.purpose == purpose]


def _warmup_lines(calls: Sequence[PipelineCall], simulated: bool) -> Iterator[str]:
    if calls:
        elapsed_s = sum(call.elapsed_s for call in calls)
        yield from (RULE, "Begin warmup", "End warmup")
        yield f"Warmup time: {_figure(f'{elapsed_s:.3f}s', simulated)}"
        yield RULE


def _image_lines(call: PipelineCall, device: str, simulated: bool) -> Iterator[str]:
    yield RULE
    yield f"Inference time: {_figure(f'{call.elapsed_s:.3f}s', simulated)}"
    if call.iterations_per_s is not None:
        yield f"Iterations per second: {_figure(f'{call.iterations_per_s:.3f}', simulated)}"
    kind = "CUDA memory" if device == "cuda" else "memory"
    gib = (call.peak_bytes or 0) / 2**30
    yield f"Max used {kind} : {_figure(f'{gib:.3f}GiB', simulated)}"
    yield RULE


def _resolution_lines(calls: Sequence[PipelineCall], simulated: bool) -> Iterator[str]:
    if calls:
        yield "Test run with multiple resolutions..."
    for call in calls:
        yield f"Running at resolution: {call.height}x{call.width}"
        yield f"Inference time: {_figure(f'{call.elapsed_s:.2f} seconds', simulated)}"


def _throughput_lines(calls: Sequence[PipelineCall], simulated: bool) -> Iterator[str]:
    if not calls:
        return
    if simulated:
        yield "Throughput: simulated"
        return
    speeds = [call.steps / call.elapsed_s for call in calls]
    for call, speed in zip(calls, speeds, strict=True):
        yield (
            f"Steps: {call.steps}, Inference Time: {call.elapsed_s:.2f} seconds, "
            f"Throughput: {speed:.2f} steps/s"
        )
    yield f"Average Throughput: {sum(speeds) / len(speeds):.2f} steps/s"
    if len(calls) > 1:
        fit = fit_line([call.steps for call in calls], [call.elapsed_s for call in calls])
        yield f"Throughput without base cost: {1 / fit.per_step_s:.2f} steps/s"
        yield f"Model: Inference Time = {fit.per_step_s:.2f} * Steps + {fit.base_s:.2f}"


def _figure(text: str, simulated: bool) -> str:
    """A simulation has an image, and no speed or memory of its own."""
    return "simulated" if simulated else text
