"""Teacher forcing: single transformer calls on the undisturbed trajectories' inputs.

Calls of different samples and steps do not depend on each other, so they share batches; and where
only one layer differs, the blocks before it are computed once for all of its block's layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixart_tui.domain.layers import Layer
from pixart_tui.domain.probing import ProbeRow
from pixart_tui.domain.quant_types import QuantType
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import guide, micro_conditions
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample
from pixart_tui.engine.sensitivity.staged import (
    Call,
    StagedTransformer,
    Surroundings,
    stage_of,
)
from pixart_tui.engine.sensitivity.trajectories import Step, Trajectories


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows that run in one batch.

    Attributes:
        call: The transformer's arguments; with guidance, the negative halves first.
        layout: How the rows lie in it.
        guidance_scale: Of the guided prediction; at most 1 for none.
        channels: Those of the prediction that go to the scheduler.
    """

    call: Call
    layout: BatchLayout
    guidance_scale: float
    channels: int

    def guided(self, prediction: Tensor) -> Tensor:
        """The guided noise prediction of each row, (rows, channels, h, w), float32."""
        if self.layout.guidance > 1:
            prediction = guide(prediction, self.guidance_scale)
        return prediction[:, : self.channels].float()


def lessons(
    renderer: Renderer, trajectories: Trajectories, rows: Sequence[ProbeRow], size: int
) -> list[Lesson]:
    """The rows as batches of ``size``, on the transformer's device."""
    return [
        _lesson(renderer, trajectories, rows[start : start + size])
        for start in range(0, len(rows), size)
    ]


def _lesson(renderer: Renderer, known: Trajectories, rows: Sequence[ProbeRow]) -> Lesson:
    samples = [Sample(row.prompt, row.seed) for row in rows]
    steps = [known.steps[s][row.step] for s, row in zip(samples, rows, strict=True)]
    settings = renderer.settings
    guidance = 2 if settings.guidance_scale > 1 else 1
    embeds, mask = renderer.condition(samples).batch(guidance > 1)
    call = _call(renderer, steps, embeds, mask, guidance)
    layout = BatchLayout(guidance, len(rows))
    channels: int = renderer.transformer.config.in_channels  # type: ignore[union-attr, assignment]
    return Lesson(call, layout, settings.guidance_scale, channels)


def _call(
    renderer: Renderer, steps: Sequence[Step], embeds: Tensor, mask: Tensor, guidance: int
) -> Call:
    settings, device = renderer.settings, embeds.device
    micro = micro_conditions(renderer.transformer, embeds, settings.height, settings.width)
    return Call(
        latents=torch.cat([step.inputs for step in steps] * guidance).to(device),
        timesteps=torch.stack([step.timestep for step in steps] * guidance).to(device),
        embeds=embeds,
        mask=mask,
        micro=micro,
    )


@dataclass(slots=True)
class Boundary:
    """Where all lessons stand: in front of a block, with nothing quantized before it.

    Attributes:
        stage: -1 in front of everything, else the block that comes next.
        hidden: Of each lesson, the hidden states there.
        around: Of each lesson, what the blocks read beside them.
        targets: Of each lesson, the undisturbed guided prediction.
    """

    stage: int
    hidden: list[Tensor]
    around: list[Surroundings]
    targets: list[Tensor]


class Classroom:
    """Probes layers on the same lessons; forwards the boundary from block to block.

    Args:
        transformer: Nothing in it is quantized.
        taught: The lessons.
        check: Called after each batch; may raise to give up.
    """

    def __init__(
        self, transformer: nn.Module, taught: Sequence[Lesson], check: Callable[[], None]
    ) -> None:
        self._lessons = taught
        self._check = check
        self._undisturbed = StagedTransformer(transformer)
        self._boundary: Boundary | None = None

    @property
    def targets(self) -> list[Tensor]:
        """Of each lesson, the undisturbed guided prediction."""
        return self._begun().targets

    @torch.no_grad()
    def advance(self, stage: int) -> None:
        """Moves the boundary in front of a block; it never moves back."""
        boundary, model = self._begun(), self._undisturbed
        if stage >= 0:
            boundary.stage = max(boundary.stage, 0)
        while 0 <= boundary.stage < stage:
            for i, around in enumerate(boundary.around):
                boundary.hidden[i] = model.block(boundary.stage, boundary.hidden[i], around)
                self._check()
            boundary.stage += 1

    @torch.no_grad()
    def errors(
        self, transformer: nn.Module, layer: Layer, quant_type: QuantType, execution: Execution
    ) -> tuple[float | None, ...]:
        """Each row's mean squared error with one layer quantized in ``transformer``.

        Args:
            transformer: The classroom's, or one that shares its weights.
            layer: A layer behind the boundary.
            quant_type: What it is quantized to.
            execution: The reference numerics or the real kernel.
        """
        staged, boundary = StagedTransformer(transformer), self._begun()
        found = []
        for i, lesson in enumerate(self._lessons):
            disturbed = one_layer_quantized(
                transformer, layer.fqn, quant_type, lesson.layout, execution=execution
            )
            with disturbed:
                prediction = self._prediction(staged, layer, i)
            found.append(_mean_square(lesson.guided(prediction) - boundary.targets[i]))
            self._check()
        return _finite_or_none(torch.cat(found))

    def _prediction(self, staged: StagedTransformer, layer: Layer, index: int) -> Tensor:
        boundary = self._begun()
        if stage_of(layer.fqn, staged.depth) < 0:
            return staged.whole(self._lessons[index].call)
        return staged.from_block(boundary.stage, boundary.hidden[index], boundary.around[index])

    @torch.no_grad()
    def _begun(self) -> Boundary:
        if self._boundary is None:
            model = self._undisturbed
            begun = [model.begin(lesson.call) for lesson in self._lessons]
            targets = [
                lesson.guided(model.from_block(0, hidden, around))
                for lesson, (hidden, around) in zip(self._lessons, begun, strict=True)
            ]
            hidden, around = [h for h, _ in begun], [a for _, a in begun]
            self._boundary = Boundary(-1, hidden, around, targets)
        return self._boundary


def _mean_square(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(dim=1)


def _finite_or_none(errors: Tensor) -> tuple[float | None, ...]:
    """The values on the CPU, None in place of NaN and infinity."""
    values: list[float] = errors.tolist()
    return tuple(value if math.isfinite(value) else None for value in values)


@torch.no_grad()
def null_errors(
    transformer: nn.Module, usual: Sequence[Lesson], other: Sequence[Lesson]
) -> tuple[float, ...]:
    """Each row's mean squared difference between two ways to split the same rows into batches."""
    staged = StagedTransformer(transformer)
    first, second = (
        torch.cat([lesson.guided(staged.whole(lesson.call)) for lesson in taught])
        for taught in (usual, other)
    )
    return tuple(_mean_square(first - second).tolist())
