"""Whole profiles by the adjoint method, on tiny models of random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from pixart_tui.domain.errors import CancelledError, RequestError, WorkError
from pixart_tui.domain.events import (
    FloorMeasured,
    LookTaken,
    PassPlanned,
    ProfilePlanned,
    SampleMeasured,
    StageChanged,
)
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.sensitivity import BaselineImage, JointImage, profile_model
from pixart_tui.engine.sensitivity.adjoint import measuring, memory_plan
from pixart_tui.engine.sensitivity.adjoint.backward import Backward, SampleResult
from pixart_tui.engine.sensitivity.rendering import Sample
from tests.engine.sensitivity.events import Yielded, of
from tests.scheduler_models import model_with_scheduler

_PROMPTS: Final = ("red apple", "robot", "cat", "dog", "house", "fox")
_INT4: Final = "int4_weightonly"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _request(**changes: object) -> ProfileRequest:
    usual: dict[str, object] = {
        "model": "synthetic:alpha-tiny",
        "prompts": _PROMPTS,
        "seeds": (3,),
        "num_inference_steps": 2,
        "guidance_scale": 2.0,
        "height": 32,
        "width": 48,
        "draws": 3,
        "cut": 50,
        "output": "unused.json",
        "threads": 1,
    }
    return ProfileRequest.model_validate(usual | changes)


def _run(samples: Sequence[SampleEffects] = (), **changes: object) -> list[Yielded]:
    return list(profile_model(_request(**changes), samples=samples, floor_known=True))


def _samples(events: Sequence[Yielded]) -> list[SampleEffects]:
    return [event.sample for event in of(events, SampleMeasured)]


def _looks(events: Sequence[Yielded]) -> list[Look]:
    return [event.look for event in of(events, LookTaken)]


def _untimed(samples: Sequence[SampleEffects]) -> dict[Sample, SampleEffects]:
    return {Sample(x.prompt, x.seed): x.replace(elapsed_s=0.0) for x in samples}


@pytest.fixture(scope="module")
def whole() -> list[Yielded]:
    return _run()


def test_every_sample_is_measured_once_with_its_images(whole: list[Yielded]) -> None:
    assert [sample.prompt for sample in _samples(whole)] == list(_PROMPTS)
    told = (BaselineImage, JointImage, SampleMeasured)
    kinds = [type(event) for event in whole if isinstance(event, told)]
    assert kinds == list(told) * len(_PROMPTS)
    for image, joint in zip(of(whole, BaselineImage), of(whole, JointImage), strict=True):
        assert image.sample == joint.sample
        assert image.image.shape == joint.image.shape == (3, 32, 48)
        assert not torch.equal(image.image, joint.image)
    stages = [x for x in of(whole, StageChanged) if x.stage == "measuring"]
    assert [(x.detail, x.done) for x in stages] == [
        (f'"{prompt}"', done) for done, prompt in enumerate(_PROMPTS)
    ]
    assert {x.total for x in stages} == {len(_PROMPTS)}


def test_effects_are_in_the_order_of_the_plan(whole: list[Yielded]) -> None:
    (plan,) = of(whole, ProfilePlanned)
    assert plan.conditions.draws == 3
    for sample in _samples(whole):
        (packed,) = sample.effects.values()
        assert packed.shape == (3, len(plan.layers), 2)
        broken = torch.from_numpy(packed.array()).isnan().flatten(1).any()
        assert broken == bool(plan.excluded)
        for at, layer in enumerate(plan.layers):
            effects = torch.from_numpy(packed.array()[:, at])
            assert effects.isnan().all() == (layer.fqn in plan.excluded), layer.fqn
            assert effects.isnan().all() or bool((effects != 0).any()), layer.fqn


def test_decisions_fall_after_four_samples_and_at_the_end(whole: list[Yielded]) -> None:
    looks = _looks(whole)
    assert [(look.samples, look.outcome) for look in looks] == [(4, ""), (6, "spent")]
    after_four = whole.index(of(whole, LookTaken)[0])
    assert len(of(whole[:after_four], SampleMeasured)) == 4


def test_a_settled_cut_ends_it_and_all_samples_may_be_wanted_nevertheless() -> None:
    settled = _run(cut=0)
    assert [(x.samples, x.outcome) for x in _looks(settled)] == [(4, "settled")]
    assert len(_samples(settled)) == 4
    every = _run(cut=0, all_samples=True)
    assert [(x.samples, x.outcome) for x in _looks(every)] == [(4, ""), (6, "spent")]


def test_time_ends_it_once_a_sample_is_measured() -> None:
    events = _run(max_minutes=1e-6)
    (look,) = _looks(events)
    # A replica may have begun the next one before it was told of the first.
    assert look.samples == len(_samples(events)) <= 2
    assert look.outcome == "time"


@pytest.mark.parametrize("known", [1, 4, 5])
def test_a_resumed_profile_is_the_same_bit_for_bit(whole: list[Yielded], known: int) -> None:
    before = _samples(whole)
    resumed = _run(before[:known][::-1])
    after = _samples(resumed)
    assert [sample.prompt for sample in after] == list(_PROMPTS[known:])
    assert _untimed(after) == _untimed(before[known:])
    assert _looks(resumed) == _looks(whole)


def test_replicas_give_what_one_replica_gives(whole: list[Yielded]) -> None:
    two = _run(threads=2)
    assert _untimed(_samples(two)) == _untimed(_samples(whole))
    assert _looks(two) == _looks(whole)


def test_what_a_batch_measures_beyond_a_decision_does_not_count(
    whole: list[Yielded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU a batch has one sample; here it has as many as a GPU's might have."""
    plans = memory_plan.pass_plans

    def larger(*args: Any, **kwargs: Any) -> list[PassPlanned]:
        return [x.replace(samples=5, draws=3) for x in plans(*args, **kwargs)]

    monkeypatch.setattr(measuring, "pass_plans", larger)
    batched = _run()
    assert [x.prompt for x in _samples(batched)] == list(_PROMPTS)
    first = batched.index(of(batched, LookTaken)[0])
    assert len(of(batched[:first], SampleMeasured)) == 5
    assert [(x.samples, x.undecided) for x in _looks(batched)] == [
        (x.samples, x.undecided) for x in _looks(whole)
    ]


def test_several_quant_types_share_the_passes(whole: list[Yielded]) -> None:
    """Among them one that hardly any layer can have: gradients pass the others all the same."""
    more = ("int8_dynamic", _INT4)
    both = _run(more_quant_types=more, prompts=_PROMPTS[:2])
    (plan,) = of(both, ProfilePlanned)
    assert len(plan.excluded_by_type[_INT4]) > 20
    alone = _run(quant_type=_INT4, prompts=_PROMPTS[:2])
    first = plan.conditions.quant_type
    for mine, its, fp8 in zip(_samples(both), _samples(alone), _samples(whole), strict=False):
        assert tuple(mine.effects) == (first, *more)
        for found, expected in ((mine, fp8), (mine, its)):
            (quant_type,) = expected.effects
            torch.testing.assert_close(
                torch.from_numpy(found.effects[quant_type].array()),
                torch.from_numpy(expected.effects[quant_type].array()),
                rtol=1e-3,
                atol=1e-6,
                equal_nan=True,
            )
    assert set(_looks(both)[-1].undecided) == {first, *more}


def test_a_check_that_raises_ends_every_replica() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 6:
            raise CancelledError("cancelled")

    found: list[Yielded] = []
    with pytest.raises(CancelledError):
        found.extend(profile_model(_request(threads=2), floor_known=True, check=check))
    # Six samples make 24.
    assert len(calls) < 18


def test_the_floor_is_measured_on_a_few_samples() -> None:
    events = list(profile_model(_request()))
    (floor,) = of(events, FloorMeasured)
    assert [x.prompt for x in floor.comparisons] == list(_PROMPTS[:4])
    assert all(x.loss is not None and x.loss > 0 for x in floor.comparisons)
    assert not of(_run(baseline_dtype="bfloat16", prompts=("robot",)), FloorMeasured)


def test_a_bfloat16_baseline_gives_effects_of_the_same_size(whole: list[Yielded]) -> None:
    half = _samples(_run(baseline_dtype="bfloat16", prompts=_PROMPTS[:1]))[0]
    (mine,) = half.effects.values()
    (its,) = _samples(whole)[0].effects.values()
    sizes = [torch.from_numpy(x.array()).square().nanmean().sqrt() for x in (mine, its)]
    assert 0.5 < float(sizes[0] / sizes[1]) < 2


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_full_gpu_goes_on_with_less_memory_and_says_why(
    whole: list[Yielded], monkeypatch: pytest.MonkeyPatch, replicas: int
) -> None:
    calm, tried = Backward.measure, []

    def measure(
        self: Backward, samples: tuple[Sample, ...], plan: PassPlanned
    ) -> list[SampleResult]:
        tried.append(plan)
        if plan.decoder_at_once and len(tried) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
        return calm(self, samples, plan)

    monkeypatch.setattr(Backward, "measure", measure)
    events = _run(threads=replicas)
    first, *_, second = of(events, PassPlanned)
    assert first.decoder_at_once
    assert not first.reason
    assert not second.decoder_at_once
    assert second.reason == (
        "the GPU ran out of memory: CUDA out of memory. Tried to allocate 2.00 GiB"
    )
    assert len(_samples(events)) == len(_PROMPTS)
    assert set(_untimed(_samples(events))) == set(_untimed(_samples(whole)))
    assert [x.samples for x in _looks(events)] == [4, 6]


def test_a_sample_that_does_not_fit_at_all_ends_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(*_: Any) -> list[SampleResult]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    monkeypatch.setattr(Backward, "measure", measure)
    with pytest.raises(WorkError, match="single image does not fit") as raised:
        _run()
    assert raised.value.cause == "CUDA out of memory. Tried to allocate 2.00 GiB"
    assert "bfloat16" in raised.value.next_step


@pytest.mark.parametrize("guidance", [0.0, 1.0])
@pytest.mark.parametrize("model", ["synthetic:alpha-tiny", "synthetic:sigma-tiny"])
def test_unguided_models_are_profiled(model: str, guidance: float) -> None:
    events = _run(model=model, guidance_scale=guidance, prompts=("robot",))
    assert of(events, ProfilePlanned)[0].conditions.guidance_scale == guidance
    assert _looks(events)[-1].outcome == "spent"
    check = _samples(events)[0].check
    assert check.loss is not None
    assert check.loss > 0


@pytest.mark.parametrize(
    ("kind", "changes", "calls"),
    [
        ("HeunDiscreteScheduler", {"num_inference_steps": 2}, 3),
        ("DDPMScheduler", {"num_inference_steps": None, "timesteps": (400,)}, 1),
        ("LCMScheduler", {"num_inference_steps": None, "timesteps": (999, 499)}, 2),
        ("EulerAncestralDiscreteScheduler", {"num_inference_steps": 2}, 2),
    ],
)
def test_other_schedulers_and_timesteps_are_profiled(
    tmp_path: Path, kind: str, changes: dict[str, Any], calls: int
) -> None:
    """With the embedded model."""
    model = model_with_scheduler(tmp_path / "model", kind)
    size: dict[str, Any] = {"height": 64, "width": 64, "draws": 2, "prompts": ("robot",)}
    events = _run(model=model, **size, **changes)
    (plan,) = of(events, ProfilePlanned)
    assert plan.conditions.calls == calls
    (sample,) = _samples(events)
    (packed,) = sample.effects.values()
    assert packed.shape == (2, 86, calls)
    effects = torch.from_numpy(packed.array())
    assert effects.isfinite().all()
    assert (effects.square().sum(0).sum(1) > 0).all()


def test_attention_is_measured_in_the_same_pass_and_has_a_plan_of_its_own() -> None:
    model: dict[str, Any] = {
        "model": "pixart-emoji",
        "num_inference_steps": 1,
        "height": 64,
        "width": 64,
    }
    events = _run(prompts=("robot",), fp8_attention=True, **model)
    (plan,) = of(events, ProfilePlanned)
    assert [x.fqn for x in plan.attention] == [f"transformer_blocks.{i}.attn1" for i in range(8)]
    assert plan.attention_excluded == {}
    assert list(plan.excluded_by_type) == [plan.conditions.quant_type, FP8_ATTENTION]
    (sample,) = _samples(events)
    effects = sample.effects[FP8_ATTENTION].array()
    assert effects.shape == (3, 8, 1)
    assert (effects != 0).all()
    assert set(_looks(events)[-1].undecided) == {plan.conditions.quant_type, FP8_ATTENTION}


def test_heads_that_the_kernel_does_not_take_are_excluded_with_the_reason() -> None:
    events = _run(prompts=_PROMPTS[:1], fp8_attention=True)
    (plan,) = of(events, ProfilePlanned)
    assert set(plan.attention_excluded) == {x.fqn for x in plan.attention}
    assert all("these have 16" in reason for reason in plan.attention_excluded.values())
    (sample,) = _samples(events)
    assert np.isnan(sample.effects[FP8_ATTENTION].array()).all()
    assert _looks(events)[-1].outcome == "spent"


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"method": "exhaustive"}, "adjoint"), ({"execution": "real"}, "compute capability 9.0")],
    ids=str,
)
def test_attention_that_cannot_be_measured_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError) as caught:
        _run(fp8_attention=True, quant_type="int8_dynamic", **changes)
    assert named in " ".join(caught.value.lines())
    assert caught.value.option == "--fp8-attention"
