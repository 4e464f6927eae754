"""All layers of a selection quantized at once, against the reference images of the same set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, TypeAlias, TypeVar

from torch import Tensor, nn

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, QuantType, parse_quant_type
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.pixels import ImagePair, KeepPair, keep_none, to_pixels
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.quant.apply import layers_quantized
from pixart_tui.engine.quant.attention_swap import attention_in_fp8
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.schedule import call_count
from pixart_tui.engine.sensitivity.parallel import CancelToken, run_parallel, torch_threads
from pixart_tui.engine.sensitivity.rendering import (
    Modification,
    Rendered,
    Renderer,
    Sample,
    Settings,
    compare,
)

_Result = TypeVar("_Result")
Samples: TypeAlias = tuple[Sample, ...]

_CPU_PART: Final = 4
"""Images that a replica makes at once on a CPU, however many there are, so that bits repeat."""


class JointProbe:
    """Measures selections on sets of images; the reference ones are made once.

    Args:
        pipeline: A PixArt pipeline; it is the probe's from here on.
        settings: How the images are made; its samples are those of all sets.
        execution: The reference numerics or the real kernels.
        replicas: Parts of a set that are made side by side, on a CPU.
        check: Called after each denoising step; may raise to give up.
    """

    def __init__(
        self,
        pipeline: Any,
        settings: Settings,
        execution: Execution,
        *,
        replicas: int,
        check: Callable[[], None],
    ) -> None:
        self._settings, self._execution, self._check = settings, execution, check
        self._calls = call_count(pipeline, settings.num_inference_steps, settings.timesteps)
        device = next(pipeline.transformer.parameters()).device
        on_cpu = device.type == "cpu"
        self._size = _CPU_PART if on_cpu else settings.batch_size(device)
        with torch_threads(1):
            pack_linears(pipeline.transformer)
            first = Renderer(pipeline, settings, check)
        self._replicas = [first, *(first.replica() for _ in range(replicas - 1 if on_cpu else 0))]
        self._references: dict[tuple[Sample, ...], Rendered] = {}

    @property
    def batch_size(self) -> int:
        """Images that are made at once in a replica."""
        return self._size

    @property
    def replicas(self) -> int:
        """How many batches are made side by side."""
        return len(self._replicas)

    def measure(
        self, choice: Choice, samples: Samples, keep: KeepPair = keep_none
    ) -> tuple[Comparison, ...]:
        """Each of the images with the selection quantized against its reference image.

        Args:
            choice: What is quantized.
            samples: Which images.
            keep: Takes the finite images, in the threads that made them.

        Raises:
            RequestError: A layer that the model does not have.
        """

        def use(quantized: Rendered, reference: Rendered) -> tuple[Comparison, ...]:
            found = compare(quantized, reference)
            if keep is not keep_none:
                for pair in zip(found, quantized.images, reference.images, strict=True):
                    _keep_finite(keep, *pair)
            return found

        parts = self._map(choice, samples, use)
        return tuple(comparison for part in parts for comparison in part)

    def _map(
        self, choice: Choice, samples: Samples, use: Callable[[Rendered, Rendered], _Result]
    ) -> list[_Result]:
        """Yields the result of each part's quantized and reference images, in order."""
        size, stop = self._size, CancelToken(self._check)
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        assigned = choice.assignments.items()
        quant_types = {x: parse_quant_type(name) for x, name in assigned if name != FP8_ATTENTION}

        def work(replica: Renderer, part: Samples) -> tuple[Samples, _Result]:
            renderer = replica.of(part)
            reference = self._reference_of(renderer, part)
            modify = self._modification(renderer, choice, quant_types)
            (quantized,) = renderer.render(size, modify)
            return part, use(quantized, reference)

        with exact_float32(), closing(run_parallel(self._replicas, parts, work, stop)) as results:
            found = dict(results)
        return [found[part] for part in parts]

    def _reference_of(self, renderer: Renderer, part: Samples) -> Rendered:
        if part not in self._references:
            (self._references[part],) = renderer.render(self._size)
        return self._references[part]

    def _modification(
        self, renderer: Renderer, choice: Choice, quant_types: Mapping[str, QuantType]
    ) -> Modification:
        return lambda layout: jointly_quantized(
            renderer.transformer,
            quant_types,
            layout,
            execution=self._execution,
            choice=choice,
            steps=self._calls,
        )


def _keep_finite(keep: KeepPair, comparison: Comparison, image: Tensor, reference: Tensor) -> None:
    if comparison.finite:
        keep(ImagePair(comparison, to_pixels(image), to_pixels(reference)))


@contextmanager
def jointly_quantized(
    transformer: nn.Module,
    quant_types: Mapping[str, QuantType],
    layout: BatchLayout,
    *,
    execution: Execution,
    choice: Choice,
    steps: int,
) -> Iterator[None]:
    """Layers quantized at once, but for the steps that are kept; counts the steps of one batch.

    The attention that the choice holds runs in fp8 beside them, at the same steps. A step is a
    transformer call here: with some schedulers there are more than denoising steps.
    """
    attention = [x for x, name in choice.assignments.items() if name == FP8_ATTENTION]
    if not choice.kept_steps:
        with (
            layers_quantized(transformer, quant_types, layout, execution=execution),
            attention_in_fp8(transformer, attention, execution=execution),
        ):
            yield
        return
    always = {fqn: kind for fqn, kind in quant_types.items() if choice.is_at_every_step(fqn)}
    others = {fqn: kind for fqn, kind in quant_types.items() if fqn not in always}
    counter = _StepCounter()

    def quantizes() -> bool:
        return choice.kept_steps.quantizes(counter.step, steps)

    always_fp8 = [x for x in attention if choice.is_at_every_step(x)]
    other_fp8 = [x for x in attention if x not in always_fp8]
    gate = transformer.register_forward_pre_hook(counter)
    with (
        layers_quantized(transformer, always, layout, execution=execution),
        layers_quantized(
            transformer,
            others,
            layout,
            execution=execution,
            only_while=quantizes,
        ),
        attention_in_fp8(transformer, always_fp8, execution=execution),
        attention_in_fp8(transformer, other_fp8, execution=execution, only_while=quantizes),
    ):
        try:
            yield
        finally:
            gate.remove()


class _StepCounter:
    """Counts the transformer's calls.

    Attributes:
        step: The index of the call that runs.
    """

    def __init__(self) -> None:
        self.step = -1

    def __call__(self, _module: nn.Module, _inputs: object) -> None:
        """A call begins."""
        self.step += 1
