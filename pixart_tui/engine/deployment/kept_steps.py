"""Some denoising steps in 16 bits: a twin of the transformer, hardly quantized, runs at those."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from torch import Tensor, nn

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.engine.quant.apply import swap

# diffusers ships no types; the names say what is meant.
Pipeline: TypeAlias = Any
Transformer: TypeAlias = Any

Call: TypeAlias = Callable[..., Any]


def share_layers(twin: Transformer, transformer: Transformer, fqns: Iterable[str]) -> None:
    """Gives a twin the quantized transformer's layers that are quantized at every step.

    Those that depend on the text alone (caption projection, keys and values of cross-attention)
    always are: they are computed once an image, so that there is no step to keep them at.
    """
    for fqn in fqns:
        swap(twin, fqn, transformer.get_submodule(fqn))


def keep_steps(pipeline: Pipeline, twin: Transformer, kept: KeptSteps) -> None:
    """Has a twin run in place of the pipeline's transformer at some steps.

    The transformer keeps its names and parameters, and knows nothing of the twin's. Call it when
    both are compiled: around a compiled call, as the counting would else become part of the graph.

    Args:
        pipeline: Its transformer is quantized.
        twin: What runs at the kept steps.
        kept: Which steps.
    """
    transformer = pipeline.transformer
    name = "forward" if transformer._compiled_call_impl is None else "_compiled_call_impl"
    at_steps = KeptStepsCall(pipeline.scheduler, getattr(transformer, name), twin, kept)
    setattr(transformer, name, at_steps)


class KeptStepsCall:
    """Stands in for a transformer's call: counts the steps, and calls one of two.

    The stock pipelines say nothing of the step, but it can be counted. They call the transformer
    once for each of ``scheduler.timesteps``, both halves of the guidance in one batch. They make
    the embeddings that they hand over anew for every pipeline call (``repeat``, with guidance
    ``cat``), embeddings that the caller brings included, and hand over the same tensor at each of
    its steps: another tensor is another image, also after one that was given up. The last one
    seen is held, so that no other can take its identity.

    Args:
        scheduler: The pipeline's; its timesteps are those of the image under way.
        quantized: Called at the other steps.
        twin: Called at the kept steps.
        kept: Which steps.
    """

    def __init__(
        self, scheduler: Any, quantized: Call, twin: nn.Module | Call, kept: KeptSteps
    ) -> None:
        self._scheduler, self._quantized, self._twin = scheduler, quantized, twin
        self._kept = kept
        self._text: Tensor | None = None
        self._step = 0

    def __call__(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """What the transformer gives for this step.

        Raises:
            WorkError: There are more calls than steps, so that nothing tells which step this is.
        """
        step, steps = self._count(encoder_hidden_states), len(self._scheduler.timesteps)
        if step >= steps:
            raise _miscounted(steps)
        call = self._quantized if self._kept.quantizes(step, steps) else self._twin
        return call(*args, encoder_hidden_states=encoder_hidden_states, **kwargs)

    def _count(self, text: Tensor) -> int:
        self._step = self._step + 1 if text is self._text else 0
        self._text = text
        return self._step


def _miscounted(steps: int) -> WorkError:
    return WorkError(
        "the denoising steps cannot be counted",
        f"the transformer was called more than {steps} times with the same text, in an image of "
        f"{steps} steps",
        "call the stock pipeline, or keep no steps",
    )
