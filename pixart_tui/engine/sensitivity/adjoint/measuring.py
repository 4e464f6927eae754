"""The adjoint method: passes over samples after samples, until the cut is settled."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import torch

from pixart_tui.domain.errors import WorkError, first_line
from pixart_tui.domain.events import (
    Event,
    LookTaken,
    PassPlanned,
    ProfilePlanned,
    SampleMeasured,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import look_at, look_sizes
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.adjoint.backward import Backward, SampleResult
from pixart_tui.engine.sensitivity.adjoint.memory_plan import pass_plans
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.parallel import CancelToken, run_parallel
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample

Samples = tuple[Sample, ...]


@dataclass
class AdjointMethod:
    """Measures the samples that are not measured yet, and decides after fixed numbers of them.

    Attributes:
        request: What to measure.
        plan: The layers and quant types.
        renderer: Makes the images; its transformer is tapped from here on.
        known: What is measured already.
        stop: Called after each transformer call; may raise to give up.
    """

    request: ProfileRequest
    plan: ProfilePlanned
    renderer: Renderer
    known: Sequence[SampleEffects]
    stop: CancelToken
    _effects: dict[Sample, SampleEffects] = field(default_factory=dict)
    _until_s: float | None = None

    def events(self) -> Iterator[Event | SampleResult]:
        """A ``SampleMeasured`` for each sample behind its images, and a ``LookTaken`` a round."""
        self._effects = {Sample(x.prompt, x.seed): x for x in self.known}
        if self.request.max_minutes is not None:
            self._until_s = time.monotonic() + 60 * self.request.max_minutes
        replicas = [self._backward(renderer) for renderer in self._renderers()]
        plans = pass_plans(
            self.renderer,
            len(self.plan.layers_excluded),
            self.request.draws,
            replicas=len(replicas),
            low_memory=self.request.low_memory,
        )
        yield plans[0]
        samples = self.renderer.settings.samples
        for size in look_sizes(len(samples)):
            while self._missing(samples[:size]):
                yield from self._round(replicas, self._next(samples, size, plans[0].samples), plans)
                if self._out_of_time:
                    break
            done = [self._effects[s] for s in samples[:size] if s in self._effects]
            look = look_at(
                done,
                tuple(self.plan.excluded_by_type),
                self.request.cut,
                len(samples),
                until_settled=not self.request.all_samples,
                out_of_time=self._out_of_time and len(done) < len(samples),
            )
            yield LookTaken(look=look)
            if look.outcome:
                return

    @property
    def _out_of_time(self) -> bool:
        late = self._until_s is not None and time.monotonic() > self._until_s
        return late and bool(self._effects)

    def _next(self, samples: Samples, size: int, at_once: int) -> Samples:
        """Returns the missing samples of a round, filled up to a whole batch with later ones."""
        missing = self._missing(samples)
        needed = len(self._missing(samples[:size]))
        return missing[: -(-needed // at_once) * at_once]

    def _missing(self, samples: Samples) -> Samples:
        return tuple(sample for sample in samples if sample not in self._effects)

    def _round(
        self, replicas: Sequence[Backward], missing: Samples, plans: list[PassPlanned]
    ) -> Iterator[Event | SampleResult]:
        """Measures these samples, or as many as fit before the memory asks for another plan."""
        size = plans[0].samples
        parts = [missing[i : i + size] for i in range(0, len(missing), size)]
        total = len(self.renderer.settings.samples)

        def work(replica: Backward, part: Samples) -> list[SampleResult]:
            return [] if self._out_of_time else replica.measure(part, plans[0])

        try:
            with closing(run_parallel(replicas, parts, work, CancelToken(self.stop))) as results:
                for part in parts:
                    detail = f'"{part[0].prompt}"'
                    done = len(self._effects)
                    yield StageChanged(stage=Stage.MEASURING, detail=detail, done=done, total=total)
                    for result in next(results):
                        measured = result.effects
                        self._effects[Sample(measured.prompt, measured.seed)] = measured
                        yield result
                        yield SampleMeasured(sample=measured)
        except torch.OutOfMemoryError as error:
            cause = first_line(error)
        else:
            return
        # Only here, because the error's traceback holds the tensors that filled the memory.
        free_unused()
        if len(plans) == 1:
            raise WorkError(
                "a single image does not fit into the GPU's memory",
                cause=cause[:200],
                next_step="free the GPU and resume, or start again with --baseline-dtype "
                "bfloat16 or a "
                "smaller --height and --width",
            )
        plans.pop(0)
        yield plans[0].replace(reason=f"the GPU ran out of memory: {cause[:80]}")

    def _renderers(self) -> list[Renderer]:
        others = (self.renderer.replica() for _ in range(self.plan.replicas - 1))
        return [self.renderer, *others]

    def _backward(self, renderer: Renderer) -> Backward:
        layers = [layer.fqn for layer in self.plan.layers]
        able: Mapping[QuantType, Sequence[str]] = {
            parse_quant_type(name): [x for x in layers if x not in excluded]
            for name, excluded in self.plan.layers_excluded.items()
        }
        blocks = (layer.fqn for layer in self.plan.attention)
        return Backward(
            renderer,
            layers,
            able,
            execution=Execution(self.request.execution),
            draws=self.request.draws,
            check=self.stop,
            attention={x: x not in self.plan.attention_excluded for x in blocks},
        )
