"""The fast method: teacher-forced errors of every layer, whole images only where they decide."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.cost import exhaustive_forwards
from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.estimation import estimate, kind_of, score_by_sample
from pixart_tui.domain.events import (
    BatchChosen,
    Event,
    ImagesPlanned,
    LayerProbed,
    ProbesPrepared,
    ProfilePlanned,
    StabilityChecked,
    StageChanged,
)
from pixart_tui.domain.fast_progress import FastProgress
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.probing import ProbeRow, Probing, Stability
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.quant.real import first_line
from pixart_tui.engine.sensitivity.amplification import Amplification, amplification
from pixart_tui.engine.sensitivity.exhaustive import LayerImager
from pixart_tui.engine.sensitivity.fast_plan import (
    Budget,
    calibrating,
    choose_rows,
    undecided,
)
from pixart_tui.engine.sensitivity.lanes import StopSwitch, in_lanes, torch_threads
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample
from pixart_tui.engine.sensitivity.stable import stable_guidance, with_stable
from pixart_tui.engine.sensitivity.staged import (
    BLOCKS,
    StagedTransformer,
    run_share,
    stage_of,
)
from pixart_tui.engine.sensitivity.teacher import Classroom, Lesson, lessons, null_errors
from pixart_tui.engine.sensitivity.trajectories import Trajectories

_FOLLOWED_SAMPLES: Final = 2
_FOLLOWED_OF_MANY: Final = 4
_MANY_SAMPLES: Final = 8
_LAYERS_A_ROUND: Final = 4


def fast_budget(request: ProfileRequest, plan: ProfilePlanned) -> Budget:
    """What a profile may cost, and how that is spent."""
    conditions, depth = plan.conditions, _depth(plan)
    able = _able(plan)
    samples = len(conditions.prompts) * len(conditions.seeds)
    steps = conditions.num_inference_steps
    return Budget(
        total=request.cost_share * exhaustive_forwards(len(able), samples, steps),
        samples=samples,
        steps=steps,
        row=1 + sum(run_share(layer.fqn, depth) for layer in able),
        calibrated=len({kind_of(layer.fqn) for layer in able}),
    )


class Fast:
    """Measures what is not known yet.

    Args:
        request: What to measure.
        plan: The layers.
        imager: Makes whole images; its comparer has made the undisturbed ones.
        progress: What is known; it grows with every event.
        stop: Called after each batch and step; may raise to give up.
    """

    def __init__(
        self,
        request: ProfileRequest,
        plan: ProfilePlanned,
        imager: LayerImager,
        progress: FastProgress,
        stop: StopSwitch,
    ) -> None:
        self._request, self._plan, self._progress, self._stop = request, plan, progress, stop
        self._imagers = imager.twins(plan.lanes)
        self._renderer: Renderer = imager.comparer.reference
        self._settings = self._renderer.settings
        self._samples = [(s.prompt, s.seed) for s in self._settings.samples]
        self._layers = {layer.fqn: layer for layer in _able(plan)}
        self._depth = _depth(plan)
        self._rows_at_once = self._settings.rows_at_once(torch.device(request.device))

    def events(self) -> Iterator[Event]:
        """What becomes known, in order."""
        for event in self._work():
            self._progress.take(event)
            yield event

    def _work(self) -> Iterator[Event]:
        if self._progress.probing is None:
            yield from self._prepare()
        yield from self._probe()
        if self._progress.images is None and (plan := self._calibration()).tasks:
            yield plan
        yield from self._make_images()
        while (plan := self._confirmation()).tasks:
            yield plan
            yield from self._make_images()

    # Preparing

    def _prepare(self) -> Iterator[Event]:
        many = len(self._samples) >= _MANY_SAMPLES
        wanted = _FOLLOWED_OF_MANY if many else _FOLLOWED_SAMPLES
        start_s = time.perf_counter()
        while True:
            followed = self._spread(min(wanted, self._rows_at_once))
            yield StageChanged(stage="preparing", detail=f"following {len(followed)} trajectories")
            try:
                stability, prepared = self._prepared(followed)
            except torch.OutOfMemoryError as error:
                cause = first_line(error)
            else:
                break
            # Only here, because the error's traceback holds the tensors that filled the memory.
            free_unused()
            yield self._halve(cause)
        yield StabilityChecked(stability=stability)
        elapsed_s = time.perf_counter() - start_s
        yield prepared.model_copy(update={"elapsed_s": elapsed_s})

    def _prepared(self, followed: tuple[Sample, ...]) -> tuple[Stability, ProbesPrepared]:
        """What following some trajectories says, and the rows to probe."""

        def amplify(
            renderer: Renderer, known: Trajectories, samples: Sequence[Sample]
        ) -> Amplification:
            def quantized(rows: Sequence[ProbeRow]) -> Tensor:
                return self._quantized(renderer, known, rows)

            return amplification(renderer, known, samples, quantized)

        with torch_threads(1):
            found = amplify(self._renderer, self._trajectories, followed)
            stability, forwards = found.stability(self._settings.guidance_scale), found.forwards
            if stability.forks:
                more = self._spread(min(_FOLLOWED_OF_MANY, self._rows_at_once))
                guidance, searched = stable_guidance(self._renderer, more, amplify)
                stability, forwards = with_stable(stability, guidance), forwards + searched
            rows = self._choose_rows(found)
            null, taken = self._null(rows)
        return stability, ProbesPrepared(
            rows=rows,
            anchor=found.anchor,
            gains=found.gains,
            null=null,
            forwards=forwards + taken,
            elapsed_s=0.0,
        )

    def _spread(self, count: int) -> tuple[Sample, ...]:
        """So many of the samples, or all."""
        return self._settings.samples[:: max(len(self._samples) // count, 1)][:count]

    def _choose_rows(self, found: Amplification) -> tuple[ProbeRow, ...]:
        counts = fast_budget(self._request, self._plan).rows
        steps = self._settings.num_inference_steps
        return choose_rows(self._settings.samples, steps, found.anchor, counts)

    @torch.no_grad()
    def _quantized(
        self, renderer: Renderer, known: Trajectories, rows: Sequence[ProbeRow]
    ) -> Tensor:
        """The guided predictions with a layer from the middle quantized."""
        (lesson,) = lessons(renderer, known, rows, len(rows))
        imager = self._imagers[0]
        disturbed = one_layer_quantized(
            renderer.transformer,
            self._middle_layer(),
            imager.quant_type,
            lesson.layout,
            execution=imager.execution,
        )
        with disturbed:
            staged = StagedTransformer(renderer.transformer)
            return lesson.guided(staged.whole(lesson.call))

    def _middle_layer(self) -> str:
        """The one that costs most of the block in the middle."""
        middle = f"{BLOCKS}.{self._depth // 2}."
        candidates = [x for x in self._layers.values() if x.fqn.startswith(middle)]
        return max(candidates or self._layers.values(), key=lambda x: x.flops).fqn

    def _null(self, rows: Sequence[ProbeRow]) -> tuple[tuple[float, ...], float]:
        """What differs with nothing quantized; in float32 nothing that a probe would notice."""
        if self._request.baseline_dtype == "float32":
            return (0.0,) * len(rows), 0.0
        usual, other = (self._lessons(rows, size) for size in self._two_sizes(len(rows)))
        return null_errors(self._renderer.transformer, usual, other), 2.0 * len(rows)

    def _two_sizes(self, rows: int) -> tuple[int, int]:
        usual = min(self._rows_at_once, rows)
        return usual, max(1, usual // 2) if usual > 1 else 2

    # Probing

    def _probe(self) -> Iterator[Event]:
        known = self._known()
        left = [x for x in self._layers.values() if x.fqn not in known.errors]
        # By stage, which for a layer behind the blocks is not the model's order.
        left.sort(key=lambda layer: stage_of(layer.fqn, self._depth))
        while left:
            try:
                for event in self._probe_all(left):
                    yield event
                    if isinstance(event, LayerProbed):
                        left = [x for x in left if x.fqn != event.layer]
            except torch.OutOfMemoryError as error:
                cause = first_line(error)
            else:
                return
            # Only here, because the error's traceback holds the tensors that filled the memory.
            free_unused()
            yield self._halve(cause)

    def _halve(self, cause: str) -> BatchChosen:
        if self._rows_at_once == 1:
            raise WorkError(
                "a single transformer call does not fit into the GPU's memory",
                cause[:200],
                "free the GPU and resume, or ask for a smaller --height and --width",
            )
        reason = f"the GPU ran out of memory at {self._rows_at_once} probed together"
        self._rows_at_once //= 2
        images = self._imagers[0].comparer.batch_size
        return BatchChosen(images=images, reason=reason)

    def _probe_all(self, layers: Sequence[Layer]) -> Iterator[Event]:
        rows, total = self._known().rows, len(self._layers)
        taught = self._lessons(rows, min(self._rows_at_once, len(rows)))
        classroom = Classroom(self._renderer.transformer, taught, self._stop)
        by_stage: dict[int, list[Layer]] = {}
        for layer in layers:
            by_stage.setdefault(stage_of(layer.fqn, self._depth), []).append(layer)
        done = total - len(layers)
        for stage, here in by_stage.items():
            with torch_threads(1):
                classroom.advance(stage)
            yield StageChanged(stage="probing", detail=_where(stage), done=done, total=total)
            yield from self._probe_stage(classroom, here)
            done += len(here)

    def _probe_stage(self, classroom: Classroom, layers: Sequence[Layer]) -> Iterator[Event]:
        rows = len(self._known().rows)

        def probe(imager: LayerImager, layer: Layer) -> LayerProbed:
            start_s = time.perf_counter()
            transformer = imager.comparer.reference.transformer
            errors = classroom.errors(transformer, layer, imager.quant_type, imager.execution)
            forwards = rows * run_share(layer.fqn, self._depth)
            elapsed_s = time.perf_counter() - start_s
            return LayerProbed(
                layer=layer.fqn, errors=errors, forwards=forwards, elapsed_s=elapsed_s
            )

        with closing(in_lanes(self._imagers, layers, probe, StopSwitch(self._stop))) as results:
            yield from results

    def _lessons(self, rows: Sequence[ProbeRow], size: int) -> list[Lesson]:
        return lessons(self._renderer, self._trajectories, rows, size)

    @property
    def _trajectories(self) -> Trajectories:
        comparer = self._imagers[0].comparer
        comparer.baseline()
        return comparer.trajectories

    # Images

    def _make_images(self) -> Iterator[Event]:
        left = self._progress.missing(self._samples)
        plan = self._progress.images
        assert plan is not None or not left
        tasks = [(self._layers[fqn], wanted) for fqn, wanted in left.items()]

        def image(imager: LayerImager, task: tuple[Layer, Sequence[int]]) -> tuple[Event, ...]:
            layer, wanted = task
            return imager.measure(layer, [self._settings.samples[i] for i in wanted])

        results = in_lanes(self._imagers, tasks, image, StopSwitch(self._stop))
        with closing(results):
            for done, (layer, _) in enumerate(tasks):
                yield StageChanged(
                    stage=plan.purpose if plan else "",
                    detail=layer.fqn,
                    done=done,
                    total=len(tasks),
                )
                yield from next(results)

    def _calibration(self) -> ImagesPlanned:
        known = self._known()
        finite = [fqn for fqn in self._layers if None not in known.errors[fqn]]
        scores = {fqn: float(score_by_sample(known, fqn).mean()) for fqn in finite}
        probed = [self._samples.index(sample) for sample in known.samples]
        images = fast_budget(self._request, self._plan).images_per_layer
        return ImagesPlanned(
            purpose="calibrating", round=0, tasks=calibrating(scores, probed, images)
        )

    def _confirmation(self) -> ImagesPlanned:
        """One more batch of samples for the layers that decide; empty once it is settled."""
        before = self._progress.images
        number = before.round + 1 if before else 1
        found = estimate(self._known(), self._progress.measurements)
        tasks: dict[str, tuple[int, ...]] = {}
        if found is not None:
            kept = len(found.layers) - int(len(found.layers) * (self._request.cut / 100))
            for fqn in undecided(found, kept)[:_LAYERS_A_ROUND]:
                tasks[fqn] = self._next_samples(fqn)
        return ImagesPlanned(purpose="confirming", round=number, tasks=self._affordable(tasks))

    def _next_samples(self, fqn: str) -> tuple[int, ...]:
        made = {(m.prompt, m.seed) for m in self._progress.measurements if m.layer == fqn}
        probed = [self._samples.index(sample) for sample in self._known().samples]
        left = [i for i in probed if self._samples[i] not in made]
        return tuple(left[: fast_budget(self._request, self._plan).images_per_layer])

    def _affordable(self, tasks: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        steps, budget = self._settings.num_inference_steps, fast_budget(self._request, self._plan)
        images = len(self._samples) + len(self._progress.measurements)
        left = budget.total - images * steps - self._known().forwards
        chosen: dict[str, tuple[int, ...]] = {}
        for fqn, wanted in tasks.items():
            left -= len(wanted) * steps
            if left < 0:
                break
            chosen[fqn] = wanted
        return chosen

    def _known(self) -> Probing:
        assert self._progress.probing is not None
        return self._progress.probing


def _able(plan: ProfilePlanned) -> list[Layer]:
    return [layer for layer in plan.layers if layer.fqn not in plan.excluded]


def _depth(plan: ProfilePlanned) -> int:
    """Blocks of the transformer."""
    numbers = (x.fqn.split(".")[1] for x in plan.layers if x.fqn.startswith(BLOCKS))
    return 1 + max(map(int, numbers), default=0)


def _where(stage: int) -> str:
    return f"block {stage}" if stage >= 0 else "embedders"
