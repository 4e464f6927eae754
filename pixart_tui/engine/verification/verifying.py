"""Verifying a selection: the repair, and the figure on a set of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    Event,
    JointMeasured,
    StageChanged,
    VerifyFinished,
    VerifyPlanned,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.requests import VerifyRequest
from pixart_tui.domain.selecting.candidates import Candidate, candidates_of
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.repair import Outcome, onediff_rule_at_share, repair
from pixart_tui.domain.selecting.selection import Selection, describe
from pixart_tui.domain.selecting.step_effects import EffectsByType
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    JointMeasurement,
    Purpose,
    Verification,
    check_disjoint,
    joint_loss,
    three_sets,
)
from pixart_tui.engine.loading import LoadedPipeline, load_asked
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.pixels import KeepPair, keep_none
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.reading import PromptReader
from pixart_tui.engine.schedule import call_count
from pixart_tui.engine.sensitivity.parallel import replica_count
from pixart_tui.engine.sensitivity.planning import prompt_reader
from pixart_tui.engine.sensitivity.rendering import Sample, Settings
from pixart_tui.engine.verification.probe import JointProbe, Samples

Told = Generator[Event, None, JointMeasurement]


def verify_selection(
    request: VerifyRequest,
    profiles: Sequence[Profile],
    *,
    effects: EffectsByType | None = None,
    trials: Sequence[JointMeasurement] = (),
    check: Callable[[], None] = lambda: None,
    keep: KeepPair = keep_none,
) -> Iterator[Event]:
    """Measures what is not measured yet, and yields what becomes known.

    Args:
        request: What to verify.
        profiles: One for each quant type, finished.
        effects: Those of single calls, where the profiles have them.
        trials: Joint measurements that are there already.
        check: Called after each denoising step; may raise to give up.
        keep: Takes the images of the report on the selection, before its event.

    Yields:
        Stages, notices of how prompts are read, one ``VerifyPlanned``, a ``JointMeasured`` for
        each selection that was measured, and ``VerifyFinished``.

    Raises:
        RequestError: The model is another one, its scheduler cannot run, or the sets of images
            overlap.
        WorkError: No selection holds the budget.
    """
    conditions = profiles[0].conditions
    yield StageChanged(stage=Stage.LOADING, detail=conditions.model)
    dtype = getattr(torch, conditions.baseline_dtype)
    loaded = load_asked(conditions, dtype=dtype, device=torch.device(request.device))
    _check_same_model(loaded, conditions)
    calls = call_count(loaded.pipeline, conditions.num_inference_steps, conditions.timesteps)
    candidates = candidates_of(profiles)
    plan = yield from _plan(request, profiles, prompt_reader(loaded))
    yield StageChanged(stage=Stage.ENCODING)
    probe = JointProbe(
        loaded.pipeline,
        settings_of(conditions, loaded, plan.fitting, plan.repairing, plan.reporting),
        Execution(conditions.execution),
        replicas=replica_count(torch.device(request.device), request.threads),
        check=check,
    )
    case = SelectionProblem(
        candidates=candidates,
        rule=request.rule,
        parameter=request.parameter,
        fused=request.fused,
        steps=calls,
        kept_steps=request.kept_steps,
        choose_steps=request.choose_steps,
        effects=effects,
    )
    yield from _Verifier(request, plan, probe, case, list(trials), keep).run()


@dataclass
class _Verifier:
    """Measures selections, or takes what was measured of them before."""

    request: VerifyRequest
    plan: VerifyPlanned
    probe: JointProbe
    case: SelectionProblem
    known: list[JointMeasurement]
    keep: KeepPair

    def run(self) -> Iterator[Event]:
        """The repair, then the report."""
        selection, repaired = yield from self._repair()
        verified = yield from self._trial("report", "the selection", selection)
        every_step = yield from self._every_step(selection)
        onediff_rule = yield from self._onediff_rule(selection)
        if repaired.measured is None or verified.measured is None:
            raise WorkError(
                "an image of the selection holds NaN or infinity", next_step="ask for less"
            )
        yield VerifyFinished(
            selection=selection,
            verification=Verification(
                fitting=self.plan.fitting,
                repairing=self.plan.repairing,
                reporting=self.plan.reporting,
                budget=self.request.parameter if self.request.rule == "max-loss" else None,
                predicted=selection.predicted_loss,
                repair=repaired.measured,
                verified=verified.measured,
                every_step=every_step,
                onediff_rule=onediff_rule,
                trials=tuple(self.known),
            ),
        )

    def _repair(self) -> Generator[Event, None, Outcome]:
        proposals = repair(self.case, self.request.rounds)
        try:
            selection = next(proposals)
            while True:
                label = f"{len(selection.chosen)} targets, {selection.flops_share:.1%} of FLOPs"
                trial = yield from self._trial("repair", label, selection)
                selection = proposals.send(trial)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def _every_step(self, selection: Selection) -> Generator[Event, None, JointMeasurement | None]:
        if not selection.kept_steps:
            return None
        choice = Choice(assignments=selection.assignments)
        return (yield from self._trial("every-step", "no step kept", selection, choice))

    def _onediff_rule(
        self, selection: Selection
    ) -> Generator[Event, None, JointMeasurement | None]:
        if not self.request.onediff_rule or len(self.case.candidates.layer_types) > 1:
            return None
        options: list[Candidate] = onediff_rule_at_share(
            self.case.candidates, selection.flops_share
        )
        rule = self.case.rule
        beside = describe(self.case.candidates, rule, self.case.parameter, options)
        return (yield from self._trial("onediff-rule", "OneDiff's rule", beside))

    def _trial(
        self, purpose: Purpose, label: str, selection: Selection, choice: Choice | None = None
    ) -> Told:
        choice = choice or selection.choice
        for trial in self.known:
            if (trial.purpose, trial.choice) == (purpose, choice):
                return trial
        yield StageChanged(stage=Stage(purpose), detail=label)
        start_s = time.perf_counter()
        of = self.plan.repairing if purpose == "repair" else self.plan.reporting
        keep = self.keep if purpose == "report" else keep_none
        measured = self.probe.measure(choice, samples_of(of), keep)
        trial = JointMeasurement(
            purpose=purpose,
            label=label,
            **dict(choice),
            predicted=selection.predicted_loss,
            measured=joint_loss(measured),
            elapsed_s=time.perf_counter() - start_s,
        )
        self.known.append(trial)
        yield JointMeasured(trial=trial)
        return trial


def samples_of(images: ImageSet) -> Samples:
    """The images of a set, in the order in which profiles make them."""
    return tuple(Sample(prompt, seed) for seed in images.seeds for prompt in images.prompts)


def settings_of(conditions: Conditions, loaded: LoadedPipeline, *sets: ImageSet) -> Settings:
    """How the images of some sets are made as a profile's were."""
    return Settings(
        samples=tuple(sample for images in sets for sample in samples_of(images)),
        negative_prompt=conditions.negative_prompt,
        num_inference_steps=conditions.num_inference_steps,
        timesteps=conditions.timesteps,
        guidance_scale=conditions.guidance_scale,
        height=conditions.height,
        width=conditions.width,
        max_sequence_length=loaded.defaults.max_sequence_length,
    )


def _plan(
    request: VerifyRequest, profiles: Sequence[Profile], reader: PromptReader
) -> Generator[Event, None, VerifyPlanned]:
    """The three sets of images, which share nothing that the model could not tell apart."""
    conditions = profiles[0].conditions
    fitting = ImageSet(prompts=conditions.prompts, seeds=conditions.seeds)
    repairing, reporting = request.repairing, request.reporting
    asked = _prompts_of(fitting, repairing, reporting)
    if repairing is None or reporting is None:
        made = three_sets(
            reader.distinct((*asked, *prompts_for(conditions.model))),
            fitting,
            repair_images=request.repair_images,
            report_images=request.report_images,
            given=repairing or reporting,
        )
        repairing, reporting = repairing or made[0], reporting or made[1]
    prompts = _prompts_of(fitting, repairing, reporting)
    yield from reader.notices(prompts, conditions.negative_prompt)
    same = reader.same(prompts)
    fitting, repairing, reporting = (
        ImageSet(prompts=tuple(dict.fromkeys(same[x] for x in images.prompts)), seeds=images.seeds)
        for images in (fitting, repairing, reporting)
    )
    check_disjoint({"fitting": fitting, "repairing": repairing, "reporting": reporting})
    keeps = bool(request.kept_steps) or request.choose_steps
    plan = VerifyPlanned(
        machine=describe_machine(torch.device(request.device)),
        versions=describe_versions(),
        conditions=tuple(profile.conditions for profile in profiles),
        fitting=fitting,
        repairing=repairing,
        reporting=reporting,
        rounds=request.rounds,
        reports=1 + keeps + request.onediff_rule,
    )
    yield plan
    return plan


def _prompts_of(*sets: ImageSet | None) -> tuple[str, ...]:
    return tuple(prompt for images in sets if images is not None for prompt in images.prompts)


def _check_same_model(loaded: LoadedPipeline, conditions: Conditions) -> None:
    if loaded.fingerprint != conditions.model_fingerprint:
        raise WorkError(
            f"{conditions.model} is not the model that was profiled",
            cause="its weights or configuration have changed since",
            next_step="profile it again",
        )
