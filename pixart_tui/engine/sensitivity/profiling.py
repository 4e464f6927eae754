"""A profile: load, plan, make the reference images and the floor, then measure the layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    BatchChosen,
    Event,
    FloorMeasured,
    ProfilePlanned,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.image_metrics import finite_per_sample
from pixart_tui.engine.loading import load_asked
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.pixels import KeepLayer, keep_none
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.sensitivity.adjoint.backward import SampleResult
from pixart_tui.engine.sensitivity.adjoint.measuring import AdjointMethod
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.exhaustive import (
    LayerImager,
    describe_prompts,
    measure_layers,
)
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.parallel import CancelToken, torch_threads
from pixart_tui.engine.sensitivity.planning import (
    FLOOR_DTYPE,
    baseline_dtype,
    check_execution,
    dtype_name,
    has_floor,
    plan_profile,
    prompt_notices,
    quant_types_of,
    resolve_settings,
)
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample, Settings

_FLOOR_SAMPLES: Final = 4


@dataclass(frozen=True, slots=True)
class BaselineImage:
    """An reference image.

    Attributes:
        sample: Its prompt and seed.
        image: (3, height, width), float32 in [0, 1].
    """

    sample: Sample
    image: Tensor


@dataclass(frozen=True, slots=True)
class JointImage:
    """An image with every layer's local error added.

    Attributes:
        sample: Its prompt and seed.
        quant_type: Whose errors.
        image: (3, height, width), float32 in [0, 1]; may hold NaN.
    """

    sample: Sample
    quant_type: str
    image: Tensor


def profile_model(
    request: ProfileRequest,
    *,
    measured: Collection[str] = (),
    samples: Sequence[SampleEffects] = (),
    floor_known: bool = False,
    batch_size: int | None = None,
    check: Callable[[], None] = lambda: None,
    keep: KeepLayer = keep_none,
) -> Iterator[Event | BaselineImage | JointImage]:
    """Measures every layer that is not measured yet, and yields what becomes known.

    With the adjoint method each sample's backward pass gives the effects of every layer, under
    every quant type. With the exhaustive one each layer is quantized alone, with the reference
    numerics of the quant type or with its real kernel, and its images are compared with the
    reference ones of the same prompts and seeds. In a float32 model the deployment dtype with
    nothing quantized is compared the same way: the bf16 floor.

    Args:
        request: What to measure.
        measured: With the exhaustive method, layers that need no measuring any more.
        samples: With the adjoint method, what is measured already.
        floor_known: Whether the bf16 floor needs no measuring any more.
        batch_size: Images at once, where the memory was too small for more before.
        check: Called after each denoising step; may raise to give up.
        keep: With the exhaustive method, takes the image of the first prompt and seed of each
            layer, before the layer's event and in the thread that made it.

    Yields:
        Stages, notices of how prompts are read, one ``ProfilePlanned``, the baseline images,
        ``FloorMeasured``, a ``BatchChosen`` or ``PassPlanned`` whenever the memory is used in
        another way, and one ``LayerMeasured`` a layer, or the joint images and one
        ``SampleMeasured`` a sample and a ``LookTaken`` a round.

    Raises:
        RequestError: The model, a quant type or the size cannot be used, or the device does not
            run the real kernel that was asked for.
        WorkError: Not even one image fits into the memory, or the baseline is not finite.
    """
    device = torch.device(request.device)
    execution = check_execution(request, device)
    stop = CancelToken(check)
    yield StageChanged(stage=Stage.LOADING, detail=request.model_words)
    loaded = load_asked(request, dtype=baseline_dtype(request), device=device)
    yield from prompt_notices(request, loaded)
    settings = resolve_settings(request, loaded)
    plan = plan_profile(request, loaded, settings, device)
    yield plan
    # The baseline runs as the replicas do, so that only the quantized layer differs.
    with exact_float32(), torch_threads(1):
        pack_linears(loaded.pipeline.transformer)
        renderer = Renderer(loaded.pipeline, settings, stop)
    if request.method == "adjoint":
        yield from _adjoint(request, plan, renderer, samples, floor_known=floor_known, stop=stop)
        return
    images = min(batch_size or len(settings.samples), settings.batch_size(device))
    yield BatchChosen(images=images)
    yield StageChanged(stage=Stage.BASELINE, detail=describe_prompts(settings))
    with exact_float32(), torch_threads(1):
        comparer = Comparer(renderer, images)
        baseline = comparer.baseline()
    for batch in baseline:
        for sample, latents, image in zip(batch.samples, batch.latents, batch.images, strict=True):
            yield _baseline_image(sample, latents, image, request)
    yield from comparer.take_changes()
    if has_floor(request) and not floor_known:
        yield from _floor(request, settings, comparer, stop)
    (quant_type,) = quant_types_of(request)
    imager = LayerImager(comparer, quant_type, execution, keep)
    with exact_float32():
        yield from measure_layers(imager, plan, settings, measured, stop)


def _adjoint(
    request: ProfileRequest,
    plan: ProfilePlanned,
    renderer: Renderer,
    samples: Sequence[SampleEffects],
    *,
    floor_known: bool,
    stop: CancelToken,
) -> Iterator[Event | BaselineImage | JointImage]:
    if has_floor(request) and not floor_known:
        # A reference line: a few images draw it.
        few = renderer.of(renderer.settings.samples[:_FLOOR_SAMPLES])
        size = few.settings.batch_size(torch.device(request.device))
        yield from _floor(request, few.settings, Comparer(few, size), stop)
    with exact_float32():
        for event in AdjointMethod(request, plan, renderer, samples, stop).events():
            if not isinstance(event, SampleResult):
                yield event
                continue
            sample = Sample(event.effects.prompt, event.effects.seed)
            yield _baseline_image(sample, event.image, event.image, request)
            yield JointImage(sample, event.effects.check.quant_type, event.joint)


def _baseline_image(
    sample: Sample, latents: Tensor, image: Tensor, request: ProfileRequest
) -> BaselineImage:
    if not finite_per_sample(latents[None], image[None])[0]:
        raise WorkError(
            "the reference images hold NaN or infinity",
            cause=f"in {request.baseline_dtype}, with nothing quantized",
            next_step="check the model's weights; nothing can be compared with such an image",
        )
    return BaselineImage(sample, image)


def _floor(
    request: ProfileRequest,
    settings: Settings,
    comparer: Comparer,
    check: Callable[[], None],
) -> Iterator[Event]:
    device = torch.device(request.device)
    yield StageChanged(stage=Stage.FLOOR, detail=dtype_name(FLOOR_DTYPE))
    with exact_float32(), torch_threads(request.threads):
        deployed = load_asked(request, dtype=FLOOR_DTYPE, device=device)
        comparisons = comparer.compare(
            Renderer(deployed.pipeline, settings, check),
            batches_at_once=max(
                min(settings.batch_size(device), _FLOOR_SAMPLES) // comparer.batch_size, 1
            ),
        )
    free_unused()
    yield from comparer.take_changes()
    yield FloorMeasured(dtype=dtype_name(FLOOR_DTYPE), comparisons=comparisons)
