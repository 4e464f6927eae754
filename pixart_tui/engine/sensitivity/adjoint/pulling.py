"""Gradients of many functionals through the transformer and the decoder, one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from pixart_tui.engine.sensitivity.adjoint.parts import Call, TransformerParts
from pixart_tui.engine.sensitivity.adjoint.taps import Pass, Taps

Part: TypeAlias = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class TransformerAdjoint:
    """Pulls cotangents of a transformer call back to its latents; the taps record meanwhile.

    Attributes:
        parts: The transformer.
        taps: Those of the same transformer.
    """

    parts: TransformerParts
    taps: Taps

    @torch.no_grad()
    def forward(self, call: Call) -> tuple[Tensor, list[Tensor]]:
        """The prediction, and what each block got and the last one gave."""
        hidden, modulation, embedded, text = self.parts.begin(call)
        bias, hiddens = self.parts.text_bias(call), [hidden]
        for index in range(self.parts.depth):
            hidden = self.parts.block(index, hidden, modulation, text, bias)
            hiddens.append(hidden)
        return self.parts.finish(hidden, embedded, self.parts.grid(call)), hiddens

    def pull(
        self, call: Call, hiddens: Sequence[Tensor], cotangents: Tensor, found: Pass
    ) -> Tensor:
        """Cotangents of the call's latents.

        Args:
            call: The arguments of the call; rows are those of ``found.layout``.
            hiddens: What ``forward`` gave for it.
            cotangents: Of the prediction, (draws, rows, out channels, h, w).
            found: Takes the effects.

        Returns:
            (draws, rows, channels, h, w).
        """
        with self.taps.recording(found):
            return self._pull(call, hiddens, cotangents, found)

    def _pull(
        self, call: Call, hiddens: Sequence[Tensor], cotangents: Tensor, found: Pass
    ) -> Tensor:
        parts, many = self.parts, call.repeated(found.copies)
        with torch.no_grad():
            _, modulation, embedded, text = parts.begin(call)
        bias, grid = parts.text_bias(many), parts.grid(call)

        def finish(hidden: Tensor, embedded: Tensor) -> Tensor:
            return parts.finish(hidden, embedded, grid)

        of_hidden, of_embedded = self._back(finish, (hiddens[-1], embedded), (cotangents,), found)
        draws = len(cotangents)
        of_modulation = modulation.new_zeros(draws, *modulation.shape)
        of_text = text.new_zeros(draws, *text.shape)
        for index in reversed(range(parts.depth)):

            def block(hidden: Tensor, modulation: Tensor, text: Tensor, at: int = index) -> Tensor:
                return parts.block(at, hidden, modulation, text, bias)

            inputs = (hiddens[index], modulation, text)
            of_hidden, more_modulation, more_text = self._back(block, inputs, (of_hidden,), found)
            of_modulation += more_modulation
            of_text += more_text
        outputs = (of_hidden, of_modulation, of_embedded, of_text)

        def begin(latents: Tensor) -> tuple[Tensor, ...]:
            return parts.begin(replace(many, latents=latents))

        return self._back(begin, (call.latents,), outputs, found)[0]

    def _back(
        self,
        part: Part,
        inputs: tuple[Tensor, ...],
        cotangents: tuple[Tensor, ...],
        found: Pass,
    ) -> tuple[Tensor, ...]:
        """Cotangents (draws, rows, ...) of a part's outputs, pulled back to its inputs."""
        copies, draws = found.copies, cotangents[0].shape[0]
        leaves = tuple(
            x.detach().repeat(copies, *[1] * (x.dim() - 1)).requires_grad_() for x in inputs
        )
        with torch.enable_grad():
            made = part(*leaves)
        outputs = made if isinstance(made, tuple) else (made,)
        pulled = [x.new_empty(draws, *x.shape) for x in inputs]
        for first in range(0, draws, copies):
            found.first, span = first, slice(first, first + copies)
            gradients = torch.autograd.grad(
                outputs,
                [*leaves, self.taps.anchor],
                [x[span].flatten(0, 1) for x in cotangents],
                retain_graph=first + copies < draws,
                allow_unused=True,
            )
            for whole, gradient in zip(pulled, gradients, strict=False):
                whole[span] = gradient.reshape(copies, -1, *gradient.shape[1:])
        return tuple(pulled)


def pull_through(
    parts: Sequence[Callable[[Tensor], Tensor]], start: Tensor, cotangents: Tensor
) -> Tensor:
    """Cotangents of a chain's output, pulled back to its input.

    Args:
        parts: The chain, each part's output the input of the next.
        start: The chain's input.
        cotangents: (draws, *output's shape).

    Returns:
        (draws, *input's shape).
    """
    inputs = [start]
    with torch.no_grad():
        for part in parts[:-1]:
            inputs.append(part(inputs[-1]))
    for part, value in zip(reversed(parts), reversed(inputs), strict=True):
        leaf = value.detach().requires_grad_()
        with torch.enable_grad():
            output = part(leaf)
        last = len(cotangents) - 1
        cotangents = torch.stack(
            [
                torch.autograd.grad(output, leaf, x.to(output.dtype), retain_graph=i < last)[0]
                for i, x in enumerate(cotangents)
            ]
        )
        del output
    return cotangents


def chained(parts: Sequence[Callable[[Tensor], Tensor]]) -> list[Callable[[Tensor], Tensor]]:
    """The same chain as one part: faster, and all of its graph in memory at once."""

    def whole(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return x

    return [whole]
