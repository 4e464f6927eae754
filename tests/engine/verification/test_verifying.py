"""Joint measurements on a tiny PixArt of random weights."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import Event, JointMeasured, VerifyFinished
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.profiles.profile import Profile, merge_measurements
from pixart_tui.domain.requests import ProfileRequest, VerifyRequest
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.selection import choose
from pixart_tui.domain.selecting.verification import ImageSet, JointMeasurement, Verification
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.sensitivity import profile_model
from pixart_tui.engine.verification.verifying import verify_selection
from tests.engine.verification.probes import probe

_MODEL = "synthetic:alpha-tiny"
_REPAIRING = ImageSet(prompts=("lion", "key"), seeds=(7,))
_REPORTING = ImageSet(prompts=("owl", "fire", "castle"), seeds=(8,))


@pytest.fixture(scope="module")
def profile() -> Profile:
    request = ProfileRequest(
        model=_MODEL,
        method="exhaustive",
        prompts=("red apple", "robot"),
        seeds=(3,),
        num_inference_steps=2,
        guidance_scale=2.0,
        output="unused.json",
    )
    events = list(profile_model(request))
    plan = next(e for e in events if e.__class__.__name__ == "ProfilePlanned")
    measured = [e for e in events if e.__class__.__name__ == "LayerMeasured"]
    return Profile(
        conditions=plan.conditions,  # type: ignore[union-attr]
        layers=plan.layers,  # type: ignore[union-attr]
        excluded=plan.excluded,  # type: ignore[union-attr]
        measurements=merge_measurements(e.measurements for e in measured),  # type: ignore[union-attr]
    )


def _request(**changes: object) -> VerifyRequest:
    fields: dict[str, object] = {
        "model": _MODEL,
        "profiles": ("unused.json",),
        "rule": "flops-share",
        "parameter": 0.6,
        "repairing": _REPAIRING,
        "reporting": _REPORTING,
        "output": "unused.json",
    }
    return VerifyRequest.model_validate(fields | changes)


def _verified(
    request: VerifyRequest, profile: Profile, trials: Sequence[JointMeasurement] = ()
) -> tuple[Verification, list[Event]]:
    events = list(verify_selection(request, [profile], trials=trials))
    (finished,) = [event for event in events if isinstance(event, VerifyFinished)]
    return finished.verification, events


def _figures(found: Verification) -> list[tuple[str, float]]:
    return [(trial.purpose, trial.loss) for trial in found.trials]


def test_the_verified_figure_is_that_of_all_layers_at_once_on_its_own_set(
    profile: Profile, tiny: LoadedPipeline
) -> None:
    found, _ = _verified(_request(), profile)
    selection = choose(candidates_of([profile]), "flops-share", 0.6)
    assert found.trials[-1].assignments == selection.assignments
    measured = probe(tiny, _REPORTING, steps=2).losses(selection.assignments, _REPORTING)
    assert found.verified.loss == pytest.approx(sum(measured) / 3, rel=1e-6)
    assert found.verified.images == 3


def test_a_budget_holds_on_the_repair_set(profile: Profile) -> None:
    whole, _ = _verified(_request(parameter=0.8), profile)
    budget = 0.5 * whole.repair.loss
    found, _ = _verified(_request(rule="max-loss", parameter=budget), profile)
    assert found.repair.loss <= budget
    assert found.holds is (found.verified.loss <= budget)


def test_more_budget_never_verifies_worse_beyond_noise(profile: Profile) -> None:
    """More budget means more layers; on other images the loss must not fall beyond noise."""
    whole, _ = _verified(_request(parameter=0.8), profile)
    budgets = [share * whole.repair.loss for share in (0.2, 0.8)]
    less, more = (_verified(_request(rule="max-loss", parameter=b), profile)[0] for b in budgets)
    assert len(more.trials[-1].assignments) >= len(less.trials[-1].assignments)
    assert less.verified.low <= more.verified.high


def test_going_on_from_any_point_changes_nothing(profile: Profile) -> None:
    request = _request(kept_steps=KeptSteps(numbers=(2,)), parameter=0.4, onediff_rule=True)
    whole, events = _verified(request, profile)
    told = [event.trial for event in events if isinstance(event, JointMeasured)]
    for done in (0, 1, len(told) - 1, len(told)):
        again, more = _verified(request, profile, told[:done])
        assert _figures(again) == _figures(whole)
        assert sum(isinstance(event, JointMeasured) for event in more) == len(told) - done


def test_keeping_steps_is_chosen_and_reported_beside(profile: Profile) -> None:
    found, _ = _verified(_request(kept_steps=KeptSteps(last=1), parameter=0.4), profile)
    assert found.every_step is not None
    reports = {t.purpose: t for t in found.trials if t.purpose in ("report", "every-step")}
    assert reports["report"].kept_steps == KeptSteps(last=1)
    assert reports["every-step"].kept_steps == NO_STEPS
    assert reports["report"].assignments == reports["every-step"].assignments
    assert found.verified.loss != found.every_step.loss


def test_overlapping_sets_are_refused(profile: Profile) -> None:
    overlapping = ImageSet(prompts=("robot", "key"), seeds=(7,))
    with pytest.raises(RequestError, match="fitting and repairing share images"):
        _verified(_request(repairing=overlapping), profile)


def test_kept_steps_are_those_of_the_unquantized_model(tiny: LoadedPipeline) -> None:
    images = ImageSet(prompts=("owl",), seeds=(1,))
    layers = {"transformer_blocks.0.ff.net.2": "int8_dynamic", "proj_out": "int8_dynamic"}
    made = probe(tiny, images, steps=2)
    assert made.losses(layers, images, KeptSteps(first=2)) == [0.0]
    assert made.losses(layers, images, KeptSteps(first=1))[0] > 0
    assert isinstance(tiny.pipeline.transformer.proj_out, torch.nn.Linear)
