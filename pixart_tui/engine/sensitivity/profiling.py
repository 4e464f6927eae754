"""A profile: load, plan, make the undisturbed images and the floor, then measure the layers."""

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
from pixart_tui.domain.fast_progress import FastProgress
from pixart_tui.domain.quant_types import parse_quant_type
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.image_metrics import finite_per_sample
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.pixels import KeepLayer, keep_none
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.exhaustive import (
    LayerImager,
    describe_prompts,
    measure_layers,
)
from pixart_tui.engine.sensitivity.fast import Fast, fast_budget
from pixart_tui.engine.sensitivity.lanes import StopSwitch, torch_threads
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.planning import (
    FLOOR_DTYPE,
    baseline_dtype,
    check_execution,
    dtype_name,
    has_floor,
    plan_profile,
    resolve_settings,
)
from pixart_tui.engine.sensitivity.rendering import Rendered, Renderer, Sample, Settings

_FLOOR_SAMPLES: Final = 4


@dataclass(frozen=True, slots=True)
class BaselineImage:
    """An undisturbed image.

    Attributes:
        sample: Its prompt and seed.
        image: (3, height, width), float32 in [0, 1].
    """

    sample: Sample
    image: Tensor


def profile_model(
    request: ProfileRequest,
    *,
    measured: Collection[str] = (),
    floor_known: bool = False,
    batch_size: int | None = None,
    progress: FastProgress | None = None,
    check: Callable[[], None] = lambda: None,
    keep: KeepLayer = keep_none,
) -> Iterator[Event | BaselineImage]:
    """Measures every layer that is not measured yet, and yields what becomes known.

    Each layer is quantized alone, with the reference numerics of the quant type or with its real
    kernel, in a float32 or bfloat16 model, and its images are compared with the undisturbed ones
    of the same prompts and seeds; with the fast method most layers by their teacher-forced errors
    alone. In a float32 model the deployment dtype with nothing quantized is compared the same way:
    the deployment floor.

    Args:
        request: What to measure.
        measured: With the exhaustive method, layers that need no measuring any more.
        floor_known: Whether the deployment floor needs no measuring any more.
        batch_size: Images at once, where the memory was too small for more before.
        progress: With the fast method, what is known already.
        check: Called after each denoising step; may raise to give up.
        keep: Takes the image of the first prompt and seed of each layer whose images are made,
            before the layer's event and in the thread that made it.

    Yields:
        Stages, one ``ProfilePlanned``, the baseline images, ``FloorMeasured``, one
        ``LayerMeasured`` a layer, and a ``BatchChosen`` whenever the batch size is another; with
        the fast method also what it prepares, plans and probes.

    Raises:
        RequestError: The model, the quant type or the size cannot be used, or the device does not
            run the real kernel that was asked for.
        WorkError: Not even one image fits into the memory, or the baseline is not finite.
    """
    quant_type = parse_quant_type(request.quant_type)
    device = torch.device(request.device)
    execution = check_execution(request, device)
    stop = StopSwitch(check)
    yield StageChanged(stage="loading", detail=request.model)
    loaded = load_pipeline(request.model, dtype=baseline_dtype(request), device=device)
    settings = resolve_settings(request, loaded)
    plan = plan_profile(request, loaded, settings, device)
    yield plan
    images = _batch_size(request, settings, plan, device, batch_size)
    yield BatchChosen(images=images)
    yield StageChanged(stage="baseline", detail=describe_prompts(settings))
    # The baseline runs as the lanes do, so that only the quantized layer differs.
    with exact_float32(), torch_threads(1):
        pack_linears(loaded.pipeline.transformer)
        comparer = Comparer(Renderer(loaded.pipeline, settings, stop), images)
        baseline = comparer.baseline()
    yield from _baseline_images(baseline, request.baseline_dtype)
    yield from comparer.take_changes()
    if has_floor(request) and not floor_known:
        yield StageChanged(stage="floor", detail=dtype_name(FLOOR_DTYPE))
        with exact_float32(), torch_threads(request.threads):
            floor = _measure_floor(request, settings, comparer, device, stop)
        free_unused()
        yield from comparer.take_changes()
        yield floor
    imager = LayerImager(comparer, quant_type, execution, keep)
    with exact_float32():
        if request.method == "fast":
            work = Fast(request, plan, imager, progress or FastProgress(), stop)
            yield from work.events()
        else:
            yield from measure_layers(imager, plan, settings, measured, stop)


def _batch_size(
    request: ProfileRequest,
    settings: Settings,
    plan: ProfilePlanned,
    device: torch.device,
    fitting: int | None,
) -> int:
    """Images at once; the fast method makes no more at once than it wants of a layer."""
    wanted = len(settings.samples)
    if request.method == "fast":
        wanted = fast_budget(request, plan).images_per_layer
    return min(fitting or wanted, wanted, settings.batch_size(device))


def _baseline_images(baseline: Sequence[Rendered], dtype: str) -> Iterator[BaselineImage]:
    if not all(flag for x in baseline for flag in finite_per_sample(x.latents, x.images)):
        raise WorkError(
            "the undisturbed images hold NaN or infinity",
            f"in {dtype}, with nothing quantized",
            "check the model's weights; nothing can be compared with such an image",
        )
    for batch in baseline:
        for sample, image in zip(batch.samples, batch.images, strict=True):
            yield BaselineImage(sample, image)


def _measure_floor(
    request: ProfileRequest,
    settings: Settings,
    comparer: Comparer,
    device: torch.device,
    check: Callable[[], None],
) -> FloorMeasured:
    deployed = load_pipeline(request.model, dtype=FLOOR_DTYPE, device=device)
    # A reference line: the fast method draws it with a few images.
    wanted = settings.samples[:_FLOOR_SAMPLES] if request.method == "fast" else None
    comparisons = comparer.compare(
        Renderer(deployed.pipeline, settings, check),
        wanted=wanted,
        batches_at_once=max(
            min(settings.batch_size(device), _FLOOR_SAMPLES) // comparer.batch_size, 1
        ),
    )
    return FloorMeasured(dtype=dtype_name(FLOOR_DTYPE), comparisons=comparisons)
