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
from pixart_tui.engine.quant.apply import one_layer_simulated
from pixart_tui.engine.sensitivity.lanes import StopSwitch, in_lanes, lane_count, torch_threads
from pixart_tui.engine.sensitivity.planning import (
    BASELINE_DTYPE,
    FLOOR_DTYPE,
    dtype_name,
    plan_profile,
    resolve_settings,
)
from pixart_tui.engine.sensitivity.rendering import Rendered, Renderer, Sample, Settings, compare


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
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event | BaselineImage]:
    """Measures every layer that is not measured yet, and yields what becomes known.

    Each layer is quantized alone with the reference numerics of the quant type, in a float32
    model, and its images are compared with the undisturbed ones of the same prompts and seeds.
    The deployment dtype with nothing quantized is compared the same way: the deployment floor.

    Args:
        request: What to measure.
        measured: Layers that need no measuring any more.
        floor_known: Whether the deployment floor needs no measuring any more.
        check: Called after each denoising step; may raise to give up.

    Yields:
        Stages, one ``ProfilePlanned``, the baseline images, ``FloorMeasured`` and one
        ``LayerMeasured`` a layer.

    Raises:
        RequestError: The model, the quant type or the size cannot be used.
    """
    quant_type = parse_quant_type(request.quant_type)
    device = torch.device(request.device)
    stop = StopSwitch(check)
    yield StageChanged(stage="loading", detail=request.model)
    loaded = load_pipeline(request.model, dtype=BASELINE_DTYPE, device=device)
    settings = resolve_settings(request, loaded)
    plan = plan_profile(request, loaded, settings, device)
    yield plan
    yield StageChanged(stage="baseline", detail=_prompts(settings))
    # The baseline runs as the lanes do, so that only the quantized layer differs.
    with exact_float32(), torch_threads(1):
        pack_linears(loaded.pipeline.transformer)
        renderer = Renderer(loaded.pipeline, settings, stop)
        baseline = renderer.render()
    yield from _baseline_images(settings, baseline)
    if not floor_known:
        yield StageChanged(stage="floor", detail=dtype_name(FLOOR_DTYPE))
        with torch_threads(request.threads):
            floor = _measure_floor(request, settings, baseline, device, stop)
        yield floor
    first = _LayerProbe(renderer, baseline, settings, quant_type)
    more = lane_count(device, request.threads) - 1
    lanes = [first, *(replace(first, renderer=renderer.twin()) for _ in range(more))]
    with exact_float32():
        yield from _measure_layers(lanes, plan, measured, stop)


def _baseline_images(settings: Settings, baseline: Rendered) -> Iterator[BaselineImage]:
    if not all(finite_per_sample(baseline.latents, baseline.images)):
        raise WorkError(
            "the undisturbed images hold NaN or infinity",
            f"in {dtype_name(BASELINE_DTYPE)}, with nothing quantized",
            "check the model's weights; nothing can be compared with such an image",
        )
    for sample, image in zip(settings.samples, baseline.images, strict=True):
        yield BaselineImage(sample, image)


def _measure_floor(
    request: ProfileRequest,
    settings: Settings,
    baseline: Rendered,
    device: torch.device,
    check: Callable[[], None],
) -> FloorMeasured:
    deployed = load_pipeline(request.model, dtype=FLOOR_DTYPE, device=device)
    rendered = Renderer(deployed.pipeline, settings, check).render()
    return FloorMeasured(
        dtype=dtype_name(FLOOR_DTYPE), comparisons=compare(rendered, baseline, settings.samples)
    )


@dataclass(frozen=True, slots=True)
class _LayerProbe:
    """Measures layers, one at a time, against one baseline."""

    renderer: Renderer
    baseline: Rendered
    settings: Settings
    quant_type: QuantType

    def measure(self, layer: Layer) -> LayerMeasured:
        """The images with this layer quantized alone, compared."""
        start_s = time.perf_counter()
        rendered = self.renderer.render(
            lambda layout: one_layer_simulated(
                self.renderer.transformer, layer.fqn, self.quant_type, layout
            )
        )
        comparisons = compare(rendered, self.baseline, self.settings.samples)
        return LayerMeasured(
            layer=layer.fqn,
            measurements=tuple(
                Measurement(**c.model_dump(), layer=layer.fqn, quant_type=self.quant_type.name)
                for c in comparisons
            ),
            elapsed_s=time.perf_counter() - start_s,
        )


def _measure_layers(
    lanes: Sequence[_LayerProbe], plan: ProfilePlanned, measured: Collection[str], stop: StopSwitch
) -> Iterator[Event]:
    todo = [x for x in plan.layers if x.fqn not in plan.excluded and x.fqn not in measured]
    total = len(plan.layers) - len(plan.excluded)
    prompts = _prompts(lanes[0].settings)
    results = in_lanes(lanes, todo, _LayerProbe.measure, stop)
    with closing(results):
        for done, layer in enumerate(todo, total - len(todo)):
            detail = f"{layer.fqn}  {prompts}"
            yield StageChanged(stage="measuring", detail=detail, done=done, total=total)
            yield next(results)


def _prompts(settings: Settings) -> str:
    """The prompts of the images in a few words; a layer's images are made together."""
    first, *others = (sample.prompt for sample in settings.samples)
    return f'"{first}" and {len(others)} more' if others else f'"{first}"'
