"""Runs of the adjoint method for the dashboard's tests: plausible, measured by nobody."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    Event,
    FloorMeasured,
    LookTaken,
    PassPlanned,
    ProfilePlanned,
    SampleMeasured,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Outcome, look_at, look_sizes
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.requests import ProfileRequest, output_of
from pixart_tui.engine.layers import list_attention
from pixart_tui.runs.identity import WorkerIdentity
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.run import Run
from pixart_tui.runs.snapshot import RunSnapshot
from tests.adjoint_effects import sample_effects
from tests.tui import sample_runs
from tests.tui.sample_runs import PROMPTS, QUANT_TYPE

INT8: Final = "int8_dynamic"
CUT: Final = 90.0


@dataclass(frozen=True)
class Plan:
    """What a sample run of the adjoint method measures.

    Attributes:
        layers: The layers.
        losses: Quant type to 1 - SSIM of each layer alone; None for a layer without figures.
        excluded: Quant type to the layers that are excluded for it.
        model: Its name.
        seeds: Images of each of the four prompts.
        calls: Transformer calls of an image, in 20 steps.
        levels: Prompt to how much more any error does to it; 1 for those that are not named.
        out_of_range: Prompts whose effects do not add up.
        attention: The attention of every block, where that is measured too.
    """

    layers: tuple[Layer, ...]
    losses: Mapping[str, Sequence[float | None]]
    excluded: Mapping[str, Mapping[str, str]]
    model: str = "pixart-emoji"
    seeds: int = 4
    calls: int = 20
    levels: Mapping[str, float] = field(default_factory=dict)
    out_of_range: tuple[str, ...] = ()
    attention: tuple[Layer, ...] = ()

    @property
    def quant_types(self) -> tuple[str, ...]:
        """The quant types."""
        return tuple(self.losses)

    @property
    def conditions(self) -> Conditions:
        """What it holds for."""
        return sample_runs.conditions().replace(
            model=self.model,
            method="adjoint",
            draws=8,
            seeds=tuple(range(self.seeds)),
            num_calls=0 if self.calls == 20 else self.calls,
        )

    @property
    def planned(self) -> ProfilePlanned:
        """The event that says so."""
        first, *others = (x for x in self.quant_types if x != FP8_ATTENTION)
        return ProfilePlanned(
            machine=sample_runs.MACHINE,
            versions={"torch": "2.13.0"},
            conditions=self.conditions,
            layers=self.layers,
            excluded=self.excluded.get(first, {}),
            more_types={quant_type: self.excluded.get(quant_type, {}) for quant_type in others},
            attention=self.attention,
            attention_excluded=self.excluded.get(FP8_ATTENTION, {}),
        )

    def samples(self) -> list[SampleEffects]:
        """All of them, every prompt before a second seed."""
        return [
            sample_effects(
                prompt,
                self.losses,
                seed=seed,
                calls=self.calls,
                level=self.levels.get(prompt, 1.0),
                in_range=prompt not in self.out_of_range,
            )
            for seed in range(self.seeds)
            for prompt in PROMPTS
        ]


def small(*quant_types: str, **changes: object) -> Plan:
    """The 86 layers of a small PixArt, under one quant type or several."""
    rng = random.Random(20)
    levels = [10 ** rng.uniform(-5.5, -2.0) for _ in sample_runs.layers()]
    factors = {QUANT_TYPE: 1.0, INT8: 0.3}
    excluded = {QUANT_TYPE: sample_runs.EXCLUDED, INT8: {}}
    types = quant_types or (QUANT_TYPE,)
    losses = {
        quant_type: [
            None if layer.fqn in excluded[quant_type] else factors[quant_type] * level
            for layer, level in zip(sample_runs.layers(), levels, strict=True)
        ]
        for quant_type in types
    }
    return replace(Plan(sample_runs.layers(), losses, excluded), **changes)  # type: ignore[arg-type]


def with_attention() -> Plan:
    """The same under one quant type, and the attention of its blocks, one of them excluded."""
    plan = small(seeds=1)
    attention = list_attention(plan.layers, heads=4)
    losses = [None, *(1e-5 * at for at in range(1, len(attention)))]
    return replace(
        plan,
        losses={**plan.losses, FP8_ATTENTION: losses},
        excluded={**plan.excluded, FP8_ATTENTION: {attention[0].fqn: "heads of 24 channels"}},
        attention=attention,
    )


def events(plan: Plan, done: int, *, outcome: Outcome = "", ended: bool = False) -> Iterator[Event]:
    """A profile up to its ``done``-th sample.

    Args:
        plan: What it measures.
        done: How many samples are measured.
        outcome: What the last look says where it is no regular one: ``settled`` or ``time``.
        ended: Whether nothing is measured any more.
    """
    yield AttemptStarted(attempt=1)
    yield StageChanged(stage=Stage.LOADING, detail=plan.model)
    yield plan.planned
    yield FloorMeasured(
        dtype="bfloat16",
        comparisons=tuple(Comparison(prompt=p, seed=0, ssim=0.9992) for p in PROMPTS),
    )
    yield PassPlanned(
        samples=1, draws=8, keeps_hidden_states=True, keeps_weights=True, decoder_at_once=True
    )
    samples = plan.samples()
    for number, sample in enumerate(samples[: done + 1]):
        if number < done or not ended:
            detail = f'"{sample.prompt}"'
            yield StageChanged(
                stage=Stage.MEASURING, detail=detail, done=number, total=len(samples)
            )
        if number < done:
            yield SampleMeasured(sample=sample)
        if number + 1 in look_sizes(len(samples)) and number < done:
            yield _look(plan, samples[: number + 1], outcome if number + 1 == done else "")
    if outcome and done not in look_sizes(len(samples)):
        yield _look(plan, samples[:done], outcome)


def _look(plan: Plan, samples: Sequence[SampleEffects], outcome: Outcome) -> LookTaken:
    planned = len(PROMPTS) * plan.seeds
    look = look_at(samples, plan.quant_types, CUT, planned, until_settled=False)
    if outcome == "settled":
        nothing = dict.fromkeys(plan.quant_types, 0)
        update = {"outcome": outcome, "undecided": nothing, "with_twice": nothing}
        return LookTaken(look=look.replace(**update))
    return LookTaken(look=look.replace(outcome=outcome) if outcome else look)


def request(output: Path, plan: Plan) -> ProfileRequest:
    """What was asked for."""
    first, *others = plan.quant_types
    return ProfileRequest(
        model=plan.model,
        quant_type=first,
        more_quant_types=tuple(others),
        seeds=tuple(range(plan.seeds)),
        output=str(output / "fp8_e4m3.json"),
    )


def running(
    output: Path, plan: Plan | None = None, done: int = 6, worker: WorkerIdentity | None = None
) -> Run:
    """A profile of which some samples are measured."""
    plan = plan or small()
    return sample_runs.write_run(
        request(output, plan),
        sample_runs.PROFILE_ID,
        list(events(plan, done)),
        step_s=4.0,
        worker=worker or sample_runs.this_process(),
    )


def finished(
    output: Path, plan: Plan | None = None, done: int | None = None, outcome: Outcome = ""
) -> Run:
    """A profile that has ended, after all of its samples or before."""
    plan = plan or small()
    asked = request(output, plan)
    measured = len(PROMPTS) * plan.seeds if done is None else done
    files = (str(output_of(asked, quant_type)) for quant_type in plan.quant_types)
    written = [ArtifactWritten(role="profile", path=path) for path in files]
    ended: list[Event] = [*written, AttemptFinished(state="done")]
    made = list(events(plan, measured, outcome=outcome, ended=True))
    return sample_runs.write_run(asked, sample_runs.PROFILE_ID, [*made, *ended], step_s=2.0)


def snapshot(plan: Plan, done: int) -> RunSnapshot:
    """What is known after some samples."""
    found = RunSnapshot()
    for number, event in enumerate(events(plan, done)):
        found.apply(JournalEntry(t=float(number), event=event))
    return found
