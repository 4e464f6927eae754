"""Images with layers quantized together, and their reference image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ComparePlanned, Noticed, ProfilePlanned, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.requests import CompareRequest, ProfileRequest
from pixart_tui.engine.loading import load_asked
from pixart_tui.engine.pixels import ImagePair
from pixart_tui.engine.sensitivity.planning import (
    baseline_dtype,
    check_execution,
    plan_profile,
    prompt_notices,
    resolve_settings,
)
from pixart_tui.engine.sensitivity.rendering import Sample
from pixart_tui.engine.verification.probe import JointProbe, Samples


@dataclass(frozen=True, slots=True)
class Pictured:
    """A prompt and seed that is done.

    Attributes:
        number: Its place among all.
        comparison: How far the image is from its reference.
        pair: Both, None where the image is not finite.
    """

    number: int
    comparison: Comparison
    pair: ImagePair | None


def picture_selection(
    request: CompareRequest,
    *,
    known: Collection[tuple[str, int]] = (),
    check: Callable[[], None] = lambda: None,
) -> Iterator[StageChanged | Noticed | ComparePlanned | Pictured]:
    """Makes the images that are not made yet.

    Args:
        request: What to make.
        known: Prompts and seeds that need no images any more.
        check: Called after each denoising step; may raise to give up.

    Raises:
        RequestError: The model, the quant type, the size or a layer cannot be used, or the device
            does not run the real kernel that was asked for.
    """
    asked = _as_profile(request)
    device = torch.device(request.device)
    execution = check_execution(asked, device)
    yield StageChanged(stage=Stage.LOADING, detail=request.model_words)
    loaded = load_asked(request, dtype=baseline_dtype(asked), device=device)
    yield from prompt_notices(asked, loaded)
    settings = resolve_settings(asked, loaded)
    plan = plan_profile(asked, loaded, settings, device)
    layers = _layers(request, plan)
    yield ComparePlanned(
        machine=plan.machine, versions=plan.versions, conditions=plan.conditions, layers=layers
    )
    yield StageChanged(stage=Stage.ENCODING)
    probe = JointProbe(loaded.pipeline, settings, execution, replicas=plan.replicas, check=check)
    joint = Choice.of_one(request.quant_type, layers)
    # Whole batches, so that a resumed run makes the bits that an uninterrupted one makes.
    size = probe.batch_size * probe.replicas
    for start in range(0, len(settings.samples), size):
        part = settings.samples[start : start + size]
        if all((sample.prompt, sample.seed) in known for sample in part):
            continue
        yield StageChanged(
            stage=Stage.COMPARING, detail=part[0].prompt, done=start, total=len(settings.samples)
        )
        yield from _pictured(probe, joint, part, start)


def _pictured(probe: JointProbe, joint: Choice, part: Samples, start: int) -> Iterator[Pictured]:
    made: list[ImagePair] = []
    found = probe.measure(joint, part, made.append)
    pairs = {Sample(pair.comparison.prompt, pair.comparison.seed): pair for pair in made}
    for number, (sample, comparison) in enumerate(zip(part, found, strict=True), start):
        yield Pictured(number, comparison, pairs.get(sample))


def _as_profile(request: CompareRequest) -> ProfileRequest:
    """The profile whose images these are."""
    return ProfileRequest(
        **request.sampling(),
        quant_type=request.quant_type,
        execution=request.execution,
        baseline_dtype=request.baseline_dtype,
        method="exhaustive",
        seeds=request.seeds,
        output=request.output,
    )


def _layers(request: CompareRequest, plan: ProfilePlanned) -> tuple[str, ...]:
    """The layers that were asked for, each one that can be quantized; all of these without."""
    known = [layer.fqn for layer in plan.layers]
    missing = [fqn for fqn in request.layers if fqn not in known]
    if missing:
        raise RequestError(
            f"the model has no layer {missing[0]}",
            cause=f"{len(missing)} of {len(request.layers)} layers are not there",
            next_step=f"its layers are named like {known[0]}",
        )
    excluded = [fqn for fqn in request.layers if fqn in plan.excluded]
    if excluded:
        raise RequestError(
            f"{excluded[0]} cannot be quantized to {request.quant_type}",
            cause=plan.excluded[excluded[0]],
            next_step="leave it out",
        )
    wanted = request.layers or [fqn for fqn in known if fqn not in plan.excluded]
    return tuple(fqn for fqn in known if fqn in wanted)
