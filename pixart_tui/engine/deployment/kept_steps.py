"""Runs some denoising steps in 16 bits, by a second transformer that shares the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from torch import Tensor, nn

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.engine.quant.apply import swap
from pixart_tui.engine.typing import Pipeline, Transformer

Call: TypeAlias = Callable[..., Any]


def share_layers(
    kept_transformer: Transformer, transformer: Transformer, fqns: Iterable[str]
) -> None:
    """Shares the layers that are quantized at every step with the kept transformer.

    Those that depend on the text alone (caption projection, keys and values of cross-attention)
    always are: they are computed once an image, so that there is no step to keep them at.
    """
    for fqn in fqns:
        swap(kept_transformer, fqn, transformer.get_submodule(fqn))


def keep_steps(pipeline: Pipeline, kept_transformer: Transformer, kept: KeptSteps) -> None:
    """Has a second transformer run in place of the pipeline's transformer at some steps.

    The transformer keeps its names and parameters, and knows nothing of the
    other's. Call it when both are compiled: inside a compiled call the counting would become
    part of the graph.

    Args:
        pipeline: Its transformer is quantized.
        kept_transformer: What runs at the kept steps.
        kept: Which steps.
    """
    transformer = pipeline.transformer
    name = "forward" if transformer._compiled_call_impl is None else "_compiled_call_impl"
    at_steps = KeptStepsCall(pipeline, getattr(transformer, name), kept_transformer, kept)
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
        pipeline: The timesteps of its scheduler, whichever is set, are those of the image under
            way.
        quantized: Called at the other steps.
        kept_transformer: Called at the kept steps.
        kept: Which steps.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        quantized: Call,
        kept_transformer: nn.Module | Call,
        kept: KeptSteps,
    ) -> None:
        self._pipeline, self._kept = pipeline, kept
        self._quantized, self._kept_transformer = quantized, kept_transformer
        self._text: Tensor | None = None
        self._step = 0

    def __call__(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """Returns the prediction for this step.

        Raises:
            WorkError: There are more calls than steps, so that nothing tells which step this is.
        """
        step, steps = self._count(encoder_hidden_states), len(self._pipeline.scheduler.timesteps)
        if step >= steps:
            raise _miscounted(steps)
        call = self._quantized if self._kept.quantizes(step, steps) else self._kept_transformer
        return call(*args, encoder_hidden_states=encoder_hidden_states, **kwargs)

    def _count(self, text: Tensor) -> int:
        self._step = self._step + 1 if text is self._text else 0
        self._text = text
        return self._step


def _miscounted(steps: int) -> WorkError:
    return WorkError(
        "the denoising steps cannot be counted",
        cause=f"the transformer was called more than {steps} times with the same text, in an "
        "image of "
        f"{steps} steps",
        next_step="call the stock pipeline, or keep no steps",
    )
