"""The sampler's own graph: how each prediction reaches later latents, whatever the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixart_tui.engine.schedule import Schedule

PullCall = Callable[[int, Tensor], Tensor]
"""Takes a call and the cotangent of its guided prediction, (rows, out channels, h, w); gives the
cotangent of its scaled latents, (rows, channels, h, w)."""


class SamplerGraph:
    """A sampling run again with its known predictions, every latent and prediction as a leaf.

    A scheduler may look back over all earlier steps (UniPC), so the graph of its own arithmetic
    is kept and each cotangent is sent to every earlier leaf.

    Args:
        schedule: Fresh, of the rows of ``noise``.
        noise: The initial latents before ``init_noise_sigma``, (rows, channels, h, w).
        predictions: Of each call, the guided prediction, (rows, out channels, h, w).
    """

    def __init__(self, schedule: Schedule, noise: Tensor, predictions: Sequence[Tensor]) -> None:
        self._latents: list[Tensor] = []
        self._predictions = [x.detach().clone().requires_grad_() for x in predictions]
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        latents = noise * schedule.init_noise_sigma
        for call, prediction in enumerate(self._predictions):
            leaf = latents.detach().clone().requires_grad_()
            with torch.enable_grad():
                self._inputs.append(schedule.inputs(leaf, call))
                latents = schedule.step(prediction, call, leaf)
            self._latents.append(leaf)
            self._outputs.append(latents)

    @property
    def final_latents(self) -> Tensor:
        """Returns the output of the last step."""
        return self._outputs[-1].detach()

    def inputs(self, call: int) -> Tensor:
        """Returns the transformer's input, (rows, channels, h, w)."""
        return self._inputs[call].detach()

    def pull(self, cotangent: Tensor, pull_call: PullCall) -> None:
        """Sends the cotangent of the final latents back through every call.

        Args:
            cotangent: (rows, channels, h, w).
            pull_call: Called for the last call first.
        """
        of_latents: list[Tensor | None] = [None] * (len(self._outputs) + 1)
        of_latents[-1] = cotangent
        of_predictions: list[Tensor | None] = [None] * len(self._outputs)
        for call in reversed(range(len(self._outputs))):
            known = of_latents[call + 1]
            if known is not None:
                self._send(call, known, of_latents, of_predictions)
            reached = of_predictions[call]
            if reached is None:
                reached = torch.zeros_like(self._predictions[call])
            pulled = pull_call(call, reached)
            (more,) = torch.autograd.grad(self._inputs[call], self._latents[call], pulled)
            of_latents[call] = _sum(of_latents[call], more)

    def _send(
        self,
        call: int,
        cotangent: Tensor,
        of_latents: list[Tensor | None],
        of_predictions: list[Tensor | None],
    ) -> None:
        """Sends the cotangent of one step's output to every leaf before it."""
        output = self._outputs[call]
        if not output.requires_grad:
            return
        leaves = [*self._latents[: call + 1], *self._predictions[: call + 1]]
        gradients = torch.autograd.grad(
            output, leaves, cotangent, retain_graph=True, allow_unused=True
        )
        for at, gradient in enumerate(gradients[: call + 1]):
            of_latents[at] = _sum(of_latents[at], gradient)
        for at, gradient in enumerate(gradients[call + 1 :]):
            of_predictions[at] = _sum(of_predictions[at], gradient)


def _sum(known: Tensor | None, more: Tensor | None) -> Tensor | None:
    if known is None or more is None:
        return more if known is None else known
    return known + more
