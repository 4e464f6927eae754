"""Gradients of many functionals through the transformer and the decoder, one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import QuantType
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sensitivity.adjoint.parts import Call, TransformerParts
from pixart_tui.engine.sensitivity.adjoint.passes import Pass
from pixart_tui.engine.sensitivity.adjoint.taps import Taps
from pixart_tui.engine.typing import Transformer

# Where vmap has no rule for an operator (attention, for one) it calls it draw by draw, which is as
# fast as we could, and warns each time.
torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]

Tensors: TypeAlias = tuple[Tensor, ...]
Part: TypeAlias = Callable[..., Tensor | Tensors]


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a call that has run, with its graph.

    Attributes:
        inputs: Leaves, rows first.
        outputs: What the part gave.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """A call that has run forward.

    Attributes:
        prediction: (rows, out channels, h, w).
        joint: The same of the rows whose layers add their local errors.
        hidden_states: What each block got and the last one gave; empty if not kept.
        segments: Its parts with their graphs, the first one first; empty if not kept.
        found: What takes the effects when these are pulled; None if not kept.
    """

    prediction: Tensor
    joint: Tensor
    hidden_states: list[Tensor]
    segments: list[Segment]
    found: Pass | None


@dataclass(frozen=True, slots=True)
class TransformerAdjoint:
    """Pulls cotangents of a transformer call back to its latents; the taps record meanwhile.

    Attributes:
        transformer: The model.
        taps: Those of the same model.
    """

    transformer: Transformer
    taps: Taps

    @torch.no_grad()
    def _hidden_states(self, call: Call) -> list[Tensor]:
        """Returns the input of each block and the output of the last one."""
        of = TransformerParts(self.transformer, call)
        hidden, modulation, _embedded, text = of.begin(call.latents)
        found = [hidden]
        for index in range(of.depth):
            found.append(of.block(index, found[-1], modulation, text))
        return found

    @torch.no_grad()
    def forward(
        self,
        call: Call,
        joint: Tensor,
        error: tuple[QuantType, BatchLayout],
        *,
        keep: Pass | None = None,
        keep_hidden_states: bool = False,
    ) -> Trace:
        """Runs a call, and beside it other latents whose layers add the local errors of the call.

        Part by part, so that local errors wait for their use within one part alone.

        Args:
            call: The arguments.
            joint: The other latents, shaped like the call's.
            error: Whose local errors, and how images lie among the rows.
            keep: What is to take the effects: the graph is kept; None keeps none.
            keep_hidden_states: Whether what the blocks get is kept.
        """
        of = TransformerParts(self.transformer, call)
        segments: list[Segment] = []

        def run(part: Part, inputs: Tensors, others: Tensors) -> tuple[Tensors, Tensors]:
            with self.taps.holding_errors(*error):
                if keep is None:
                    outputs = _as_tuple(part(*inputs))
                else:
                    with self.taps.recording(keep):
                        segments.append(_with_graph(part, inputs))
                    outputs = tuple(x.detach() for x in segments[-1].outputs)
            with self.taps.adding_errors():
                return outputs, _as_tuple(part(*others))

        begun, also = run(of.begin, (call.latents,), (joint,))
        (hidden, *rest), (other, *other_rest) = begun, also
        kept = [hidden]
        for index in range(of.depth):
            (hidden,), (other,) = run(
                partial(of.block, index),
                (hidden, rest[0], rest[2]),
                (other, other_rest[0], other_rest[2]),
            )
            kept.append(hidden)
        (prediction,), (joint,) = run(of.finish, (hidden, rest[1]), (other, other_rest[1]))
        return Trace(prediction, joint, kept if keep_hidden_states else [], segments, keep)

    @torch.no_grad()
    def predict(self, call: Call, latents: Tensor) -> Tensor:
        """The prediction for other latents, shaped like the call's."""
        of = TransformerParts(self.transformer, call)
        hidden, modulation, embedded, text = of.begin(latents)
        for index in range(of.depth):
            hidden = of.block(index, hidden, modulation, text)
        return of.finish(hidden, embedded)

    def pull(
        self, call: Call, trace: Trace, cotangents: Tensor, found: Pass, at_once: int
    ) -> Tensor:
        """Cotangents of the call's latents; a graph that was kept is used up.

        Args:
            call: The arguments of the call; rows are those of ``found.layout``.
            trace: The same call on its way forward.
            cotangents: Of the prediction, (draws, rows, out channels, h, w).
            found: Takes the effects; that of the trace if it has one.
            at_once: Draws that go back together.

        Returns:
            (draws, rows, channels, h, w).
        """
        with self.taps.recording(found):
            return self._pull(self._backwards(call, trace), cotangents, found, at_once)

    def _backwards(self, call: Call, trace: Trace) -> Iterator[Segment]:
        """Every part with its graph, the last one first."""
        if trace.segments:
            while trace.segments:
                yield trace.segments.pop()
            return
        states = trace.hidden_states or self._hidden_states(call)
        with torch.no_grad():
            of = TransformerParts(self.transformer, call)
            _, modulation, embedded, text = of.begin(call.latents)
        yield _with_graph(of.finish, (states[-1], embedded))
        for index in reversed(range(of.depth)):
            yield _with_graph(partial(of.block, index), (states[index], modulation, text))
        yield _with_graph(of.begin, (call.latents,))

    def _pull(
        self, segments: Iterator[Segment], cotangents: Tensor, found: Pass, at_once: int
    ) -> Tensor:
        def back(*of_outputs: Tensor) -> Tensors:
            return self._back(next(segments), of_outputs, found, at_once)

        of_hidden, of_embedded = back(cotangents)
        shared: Tensors = ()
        for _ in range(len(self.transformer.transformer_blocks)):
            of_hidden, *more = back(of_hidden)
            shared = tuple(map(torch.add, shared, more)) if shared else tuple(more)
        of_modulation, of_text = shared
        return back(of_hidden, of_modulation, of_embedded, of_text)[0]

    def _back(self, segment: Segment, cotangents: Tensors, found: Pass, at_once: int) -> Tensors:
        """Cotangents (draws, rows, ...) of a part's outputs, pulled back to its inputs."""
        leaves, draws = [*segment.inputs, self.taps.anchor], len(cotangents[0])
        pulled = []
        for first in range(0, draws, at_once):
            found.first, last = first, first + at_once >= draws

            def pull(*of_outputs: Tensor, last: bool = last) -> Tensors:
                gradients = torch.autograd.grad(
                    segment.outputs, leaves, of_outputs, retain_graph=not last, allow_unused=True
                )
                return gradients[:-1]

            pulled.append(torch.func.vmap(pull)(*[x[first : first + at_once] for x in cotangents]))
        return tuple(map(torch.cat, zip(*pulled, strict=True)))


def _as_tuple(made: Tensor | Tensors) -> Tensors:
    return made if isinstance(made, tuple) else (made,)


def _with_graph(part: Part, inputs: Tensors) -> Segment:
    """Runs a part on leaves."""
    leaves = tuple(x.detach().requires_grad_() for x in inputs)
    with torch.enable_grad():
        return Segment(leaves, _as_tuple(part(*leaves)))


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
