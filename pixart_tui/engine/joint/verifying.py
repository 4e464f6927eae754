"""Verifying a selection: how layers interact, the repair, and the figure on a set of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    Event,
    JointMeasured,
    StageChanged,
    VerifyFinished,
    VerifyPlanned,
)
from pixart_tui.domain.profile import Conditions, Profile
from pixart_tui.domain.requests import VerifyRequest
from pixart_tui.domain.selecting.menu import Menu, Option, menu_of
from pixart_tui.domain.selecting.prediction import Interactions, OptionKey
from pixart_tui.domain.selecting.repair import Case, Outcome, repair, seed_rule_at_share
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    JointLoss,
    Purpose,
    Trial,
    Verification,
    check_disjoint,
    joint_loss,
    three_sets,
)
from pixart_tui.domain.selection import Knowledge, Selection, describe
from pixart_tui.engine.joint.probe import Joint, JointProbe, Samples
from pixart_tui.engine.joint.ssim_form import products
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.lanes import lane_count
from pixart_tui.engine.sensitivity.rendering import Sample, Settings

Told = Generator[Event, None, Trial]


@dataclass(frozen=True, slots=True)
class OptionSketch:
    """What one option does to the fitting images.

    Attributes:
        key: The target and the quant type.
        sketch: (n, 3, buckets), float32; see ``SsimForm``.
        elapsed_s: Seconds of measuring.
    """

    key: OptionKey
    sketch: Tensor
    elapsed_s: float


Sketches = Mapping[OptionKey, Callable[[], Tensor]]


def verify_selection(
    request: VerifyRequest,
    profiles: Sequence[Profile],
    *,
    sketches: Sketches | None = None,
    trials: Sequence[Trial] = (),
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event | OptionSketch]:
    """Measures what is not measured yet, and yields what becomes known.

    Args:
        request: What to verify.
        profiles: One for each quant type, finished.
        sketches: Options whose sketch is there already.
        trials: Joint measurements that are there already.
        check: Called after each denoising step; may raise to give up.

    Yields:
        Stages, one ``VerifyPlanned``, the sketches, a ``JointMeasured`` for each selection that
        was measured, and ``VerifyFinished``.

    Raises:
        RequestError: The model is another one, or the sets of images overlap.
        WorkError: No selection holds the budget.
    """
    conditions = profiles[0].conditions
    yield StageChanged(stage="loading", detail=conditions.model)
    dtype = getattr(torch, conditions.baseline_dtype)
    loaded = load_pipeline(conditions.model, dtype=dtype, device=torch.device(request.device))
    _check_same_model(loaded, conditions)
    menu = menu_of(profiles)
    plan = _plan(request, profiles, menu)
    yield plan
    yield StageChanged(stage="encoding")
    probe = JointProbe(
        loaded.pipeline,
        _settings(conditions, plan, loaded),
        Execution(conditions.execution),
        lanes=lane_count(torch.device(request.device), request.threads),
        check=check,
    )
    knowledge = Knowledge()
    if request.interactions:
        found = yield from _interactions(probe, menu, plan.fitting, sketches or {})
        knowledge = Knowledge(interactions=found)
    case = Case(
        menu=menu,
        rule=request.rule,
        parameter=request.parameter,
        fused=request.fused,
        knowledge=knowledge,
        rounds=request.rounds,
    )
    yield from _Verifier(request, plan, probe, case, list(trials)).run()


@dataclass
class _Verifier:
    """Measures selections, or takes what was measured of them before."""

    request: VerifyRequest
    plan: VerifyPlanned
    probe: JointProbe
    case: Case
    known: list[Trial]

    def run(self) -> Iterator[Event]:
        """The repair, then the report."""
        selection, repaired = yield from self._repair()
        measured = repaired.measured
        verified = yield from self._trial("report", "the selection", selection)
        kept = yield from self._kept_steps(selection)
        seed_rule = yield from self._seed_rule(selection)
        if measured is None or verified.measured is None:
            raise WorkError("an image of the selection holds NaN or infinity", "", "ask for less")
        yield VerifyFinished(
            selection=selection,
            verification=self._verification(
                selection, measured, verified.measured, kept, seed_rule
            ),
        )

    def _repair(self) -> Generator[Event, None, Outcome]:
        proposals = repair(self.case)
        try:
            selection = next(proposals)
            while True:
                label = f"{len(selection.chosen)} targets, {selection.flops_share:.1%} of FLOPs"
                trial = yield from self._trial("repair", label, selection)
                selection = proposals.send(trial)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def _kept_steps(self, selection: Selection) -> Generator[Event, None, Trial | None]:
        kept = self.request.kept_steps
        if not kept:
            return None
        return (yield from self._trial("kept-steps", f"{kept.words} kept", selection, kept))

    def _seed_rule(self, selection: Selection) -> Generator[Event, None, Trial | None]:
        if not self.request.seed_rule or len(self.case.menu.quant_types) > 1:
            return None
        options: list[Option] = seed_rule_at_share(self.case.menu, selection.flops_share)
        rule = self.case.rule
        beside = describe(self.case.menu, rule, self.case.parameter, options)
        return (yield from self._trial("seed-rule", "the seed's rule", beside))

    def _trial(
        self, purpose: Purpose, label: str, selection: Selection, kept: KeptSteps = NO_STEPS
    ) -> Told:
        for trial in self.known:
            if trial.purpose == purpose and trial.assignments == selection.assignments:
                return trial
        yield StageChanged(stage=purpose, detail=label)
        start_s = time.perf_counter()
        of = self.plan.repairing if purpose == "repair" else self.plan.reporting
        joint = Joint(selection.assignments, kept)
        trial = Trial(
            purpose=purpose,
            label=label,
            assignments=selection.assignments,
            kept_steps=kept,
            predicted=selection.predicted_loss,
            measured=joint_loss(self.probe.measure(joint, samples_of(of))),
            elapsed_s=time.perf_counter() - start_s,
        )
        self.known.append(trial)
        yield JointMeasured(trial=trial)
        return trial

    def _verification(
        self,
        selection: Selection,
        repaired: JointLoss,
        verified: JointLoss,
        kept: Trial | None,
        seed_rule: Trial | None,
    ) -> Verification:
        return Verification(
            fitting=self.plan.fitting,
            repairing=self.plan.repairing,
            reporting=self.plan.reporting,
            budget=self.request.parameter if self.request.rule == "max-loss" else None,
            steps=self.plan.conditions[0].num_inference_steps,
            predicted=selection.predicted_loss,
            interactions=self.request.interactions,
            repair=repaired,
            verified=verified,
            kept_steps=kept,
            seed_rule=seed_rule,
            trials=tuple(self.known),
        )


def samples_of(images: ImageSet) -> Samples:
    """The images of a set, in the order in which profiles make them."""
    return tuple(Sample(prompt, seed) for seed in images.seeds for prompt in images.prompts)


def _interactions(
    probe: JointProbe, menu: Menu, fitting: ImageSet, known: Sketches
) -> Generator[Event | OptionSketch, None, Interactions]:
    found: dict[OptionKey, Tensor] = {}
    total = len(menu.options)
    for done, option in enumerate(menu.options):
        key = option.key
        if key in known:
            found[key] = known[key]()
            continue
        yield StageChanged(stage="interactions", detail=option.target, done=done, total=total)
        start_s = time.perf_counter()
        found[key] = probe.sketch(Joint({option.target: option.quant_type}), samples_of(fitting))
        yield OptionSketch(key, found[key], time.perf_counter() - start_s)
    matrix = products(torch.stack(list(found.values())))
    return Interactions(
        options=tuple(found),
        matrix=tuple(tuple(row) for row in matrix.tolist()),
        prompts=fitting.prompts,
        seeds=fitting.seeds,
    )


def _plan(request: VerifyRequest, profiles: Sequence[Profile], menu: Menu) -> VerifyPlanned:
    conditions = profiles[0].conditions
    fitting = ImageSet(prompts=conditions.prompts, seeds=conditions.seeds)
    repairing, reporting = request.repairing, request.reporting
    if repairing is None or reporting is None:
        made = three_sets(
            prompts_for(conditions.model),
            fitting,
            repair_images=request.repair_images,
            report_images=request.report_images,
        )
        repairing, reporting = repairing or made[0], reporting or made[1]
    check_disjoint({"fitting": fitting, "repairing": repairing, "reporting": reporting})
    return VerifyPlanned(
        machine=describe_machine(torch.device(request.device)),
        versions=describe_versions(),
        conditions=tuple(profile.conditions for profile in profiles),
        fitting=fitting,
        repairing=repairing,
        reporting=reporting,
        options=len(menu.options) if request.interactions else 0,
        rounds=request.rounds,
        reports=1 + bool(request.kept_steps) + request.seed_rule,
    )


def _settings(conditions: Conditions, plan: VerifyPlanned, loaded: LoadedPipeline) -> Settings:
    sets = (plan.fitting, plan.repairing, plan.reporting)
    return Settings(
        samples=tuple(sample for images in sets for sample in samples_of(images)),
        negative_prompt=conditions.negative_prompt,
        num_inference_steps=conditions.num_inference_steps,
        guidance_scale=conditions.guidance_scale,
        height=conditions.height,
        width=conditions.width,
        max_sequence_length=loaded.defaults.max_sequence_length,
    )


def _check_same_model(loaded: LoadedPipeline, conditions: Conditions) -> None:
    if loaded.fingerprint != conditions.model_fingerprint:
        raise WorkError(
            f"{conditions.model} is not the model that was profiled",
            "its weights or configuration have changed since",
            "profile it again",
        )
