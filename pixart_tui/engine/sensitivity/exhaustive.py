"""The exhaustive method: quantize one layer, make the whole images, compare, restore; for all."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from pixart_tui.domain.events import Event, LayerMeasured, ProfilePlanned, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import QuantType
from pixart_tui.domain.profiles.measurements import Measurement
from pixart_tui.engine.pixels import KeepLayer, LayerImage, keep_none, to_pixels
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.parallel import CancelToken, run_parallel
from pixart_tui.engine.sensitivity.rendering import Rendered, Settings


@dataclass(frozen=True, slots=True)
class LayerImager:
    """Makes images with one layer quantized and compares them with one baseline.

    Attributes:
        comparer: Holds the baseline and the transformer.
        quant_type: What the layer is quantized to.
        execution: The reference numerics or the real kernel.
        keep: Takes one image of each layer, before the layer's event; replicas call it.
    """

    comparer: Comparer
    quant_type: QuantType
    execution: Execution
    keep: KeepLayer = keep_none

    def replicas(self, count: int) -> list[LayerImager]:
        """This one and others that work beside it, each with a transformer of its own."""
        return [self, *(replace(self, comparer=self.comparer.replica()) for _ in range(count - 1))]

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
            see=lambda made, reference: self._show(layer, made, reference),
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

    def _show(self, layer: Layer, made: Rendered, references: Rendered) -> None:
        """Keeps the image of the first sample."""
        first = self.comparer.reference.settings.samples[0]
        if self.keep is keep_none or first not in made.samples:
            return
        index = made.samples.index(first)
        image, reference = made.images[index], references.images[index]
        if image.isfinite().all():
            pixels = to_pixels(image), to_pixels(reference)
            self.keep(LayerImage(layer.fqn, first.prompt, first.seed, *pixels))


def measure_layers(
    imager: LayerImager,
    plan: ProfilePlanned,
    settings: Settings,
    measured: Collection[str],
    stop: CancelToken,
) -> Iterator[Event]:
    """Images of every layer, several layers side by side."""
    todo = [x for x in plan.layers if x.fqn not in plan.excluded and x.fqn not in measured]
    total = len(plan.layers) - len(plan.excluded)
    prompts = describe_prompts(settings)
    results = run_parallel(imager.replicas(plan.replicas), todo, LayerImager.measure, stop)
    with closing(results):
        for done, layer in enumerate(todo, total - len(todo)):
            detail = f"{layer.fqn}  {prompts}"
            yield StageChanged(stage=Stage.MEASURING, detail=detail, done=done, total=total)
            yield from next(results)


def describe_prompts(settings: Settings) -> str:
    """The prompts of the images in a few words; a layer's images are made together."""
    first, *others = (sample.prompt for sample in settings.samples)
    return f'"{first}" and {len(others)} more' if others else f'"{first}"'
