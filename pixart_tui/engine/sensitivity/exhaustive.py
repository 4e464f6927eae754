"""The exhaustive method: quantize one layer, make the whole images, compare, restore; for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    BatchChosen,
    Event,
    FloorMeasured,
    LayerMeasured,
    ProfilePlanned,
    StageChanged,
)
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.image_metrics import finite_per_sample
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.lanes import StopSwitch, in_lanes, torch_threads
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
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event | BaselineImage]:
    """Measures every layer that is not measured yet, and yields what becomes known.

    Each layer is quantized alone, with the reference numerics of the quant type or with its real
    kernel, in a float32 or bfloat16 model, and its images are compared with the undisturbed ones
    of the same prompts and seeds. In a float32 model the deployment dtype with nothing quantized
    is compared the same way: the deployment floor.

    Args:
        request: What to measure.
        measured: Layers that need no measuring any more.
        floor_known: Whether the deployment floor needs no measuring any more.
        batch_size: Images at once, where the memory was too small for more before.
        check: Called after each denoising step; may raise to give up.

    Yields:
        Stages, one ``ProfilePlanned``, the baseline images, ``FloorMeasured``, one
        ``LayerMeasured`` a layer, and a ``BatchChosen`` whenever the batch size is another.

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
    images = min(batch_size or len(settings.samples), settings.batch_size(device))
    yield BatchChosen(images=images)
    yield StageChanged(stage="baseline", detail=_prompts(settings))
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
    first = _LayerProbe(comparer, quant_type, execution)
    more = plan.lanes - 1
    lanes = [first, *(replace(first, comparer=comparer.twin()) for _ in range(more))]
    with exact_float32():
        yield from _measure_layers(lanes, plan, settings, measured, stop)


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
    comparisons = comparer.compare(Renderer(deployed.pipeline, settings, check))
    return FloorMeasured(dtype=dtype_name(FLOOR_DTYPE), comparisons=comparisons)


@dataclass(frozen=True, slots=True)
class _LayerProbe:
    """Measures layers, one at a time, against one baseline."""

    comparer: Comparer
    quant_type: QuantType
    execution: Execution

    def measure(self, layer: Layer) -> tuple[Event, ...]:
        """The images with this layer quantized alone, compared; a new batch size before it."""
        start_s = time.perf_counter()
        renderer = self.comparer.reference
        comparisons = self.comparer.compare(
            renderer,
            lambda layout: one_layer_quantized(
                renderer.transformer,
                layer.fqn,
                self.quant_type,
                layout,
                execution=self.execution,
            ),
        )
        measured = LayerMeasured(
            layer=layer.fqn,
            measurements=tuple(
                Measurement(**c.model_dump(), layer=layer.fqn, quant_type=self.quant_type.name)
                for c in comparisons
            ),
            elapsed_s=time.perf_counter() - start_s,
        )
        return (*self.comparer.take_changes(), measured)


def _measure_layers(
    lanes: Sequence[_LayerProbe],
    plan: ProfilePlanned,
    settings: Settings,
    measured: Collection[str],
    stop: StopSwitch,
) -> Iterator[Event]:
    todo = [x for x in plan.layers if x.fqn not in plan.excluded and x.fqn not in measured]
    total = len(plan.layers) - len(plan.excluded)
    prompts = _prompts(settings)
    results = in_lanes(lanes, todo, _LayerProbe.measure, stop)
    with closing(results):
        for done, layer in enumerate(todo, total - len(todo)):
            detail = f"{layer.fqn}  {prompts}"
            yield StageChanged(stage="measuring", detail=detail, done=done, total=total)
            yield from next(results)


def _prompts(settings: Settings) -> str:
    """The prompts of the images in a few words; a layer's images are made together."""
    first, *others = (sample.prompt for sample in settings.samples)
    return f'"{first}" and {len(others)} more' if others else f'"{first}"'
