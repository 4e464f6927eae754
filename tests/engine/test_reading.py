"""What is said of prompts that a model cuts, or cannot tell apart: in every kind of work."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ComparePlanned, Noticed, ProfilePlanned, VerifyPlanned
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import (
    BenchRequest,
    CompareRequest,
    ProfileRequest,
    VerifyRequest,
)
from pixart_tui.domain.selecting.verification import ImageSet
from pixart_tui.engine.bench.call import prompt_notices, prompts_of
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.reading import PromptReader
from pixart_tui.engine.sensitivity import profile_model
from pixart_tui.engine.verification.picturing import picture_selection
from pixart_tui.engine.verification.verifying import verify_selection

_MODEL = "synthetic:alpha-tiny"
_WORDS = "a red apple on a wooden table beside a blue cup"
_PEAR, _DOG = f"{_WORDS} and a pear", f"{_WORDS} and a dog"
_PROMPTS = (_PEAR, "owl", _DOG, "OWL ")
_SAID = [
    f'the prompt "{_PEAR[:24]}…{_PEAR[-24:]}" has',
    f'the prompt "{_DOG[:24]}…{_DOG[-24:]}" has',
    f'this model reads "{_DOG[:24]}…{_DOG[-24:]}" as "{_PEAR[:24]}…{_PEAR[-24:]}": they count as',
    'this model reads "OWL " as "owl": they count as one prompt',
]


def _until_planned(events: Iterable[object]) -> tuple[list[str], object]:
    said = []
    for event in events:
        if isinstance(event, Noticed):
            said.append(event.text)
        if isinstance(event, ProfilePlanned | ComparePlanned | VerifyPlanned):
            return said, event
    raise AssertionError(said)


def _check(said: Iterable[str]) -> None:
    for text, begin in zip(said, _SAID, strict=True):
        assert text.startswith(begin)


@pytest.mark.parametrize("method", ["adjoint", "exhaustive"])
def test_a_profile_tells_cuts_and_counts_the_same_prompt_once(method: str) -> None:
    request = ProfileRequest.model_validate(
        {"model": _MODEL, "prompts": _PROMPTS, "method": method, "output": "unused.json"}
    )
    said, plan = _until_planned(profile_model(request))
    _check(said)
    assert isinstance(plan, ProfilePlanned)
    assert plan.conditions.prompts == (_PEAR, "owl")
    assert plan.conditions.samples == 2


def test_a_comparison_does() -> None:
    request = CompareRequest(model=_MODEL, prompts=_PROMPTS, output="unused.png")
    said, plan = _until_planned(picture_selection(request))
    _check(said)
    assert isinstance(plan, ComparePlanned)
    assert plan.conditions.prompts == (_PEAR, "owl")


def test_a_benchmark_does(tiny: LoadedPipeline) -> None:
    request = BenchRequest(model=_MODEL, prompts=_PROMPTS)
    _check(prompt_notices(request, tiny))
    assert prompts_of(request, tiny) == (_PEAR, "owl")


def _verifying(tiny: LoadedPipeline, **sets: tuple[str, ...]) -> tuple[list[str], object]:
    planning = ProfileRequest(model=_MODEL, prompts=(_PEAR,), output="unused.json")
    _, plan = _until_planned(profile_model(planning))
    assert isinstance(plan, ProfilePlanned)
    profile = Profile(
        conditions=plan.conditions, layers=plan.layers, excluded=plan.excluded, measurements=()
    )
    request = VerifyRequest(
        model=_MODEL,
        profiles=("unused.json",),
        rule="flops-share",
        parameter=0.5,
        output="unused.json",
        **{
            name: ImageSet(prompts=prompts, seeds=(7 + number,))
            for number, (name, prompts) in enumerate(sets.items())
        },
    )
    return _until_planned(verify_selection(request, [profile]))


def test_a_verification_does(tiny: LoadedPipeline) -> None:
    said, plan = _verifying(tiny, repairing=("Key", "key"), reporting=("fire", "owl", " Owl"))
    assert [text.partition(" has ")[0] for text in said] == [
        f'the prompt "{_PEAR[:24]}…{_PEAR[-24:]}"',
        'this model reads "key" as "Key": they count as one prompt',
        'this model reads " Owl" as "owl": they count as one prompt',
    ]
    assert isinstance(plan, VerifyPlanned)
    assert (plan.repairing.prompts, plan.reporting.prompts) == (("Key",), ("fire", "owl"))


def test_sets_that_only_the_cut_makes_equal_are_refused(tiny: LoadedPipeline) -> None:
    with pytest.raises(RequestError, match="fitting and reporting share images") as caught:
        _verifying(tiny, repairing=("key",), reporting=(_DOG, "owl"))
    assert _PEAR in caught.value.cause


def test_the_prompts_that_ship_stand_in_for_none_that_the_cut_makes_equal(
    tiny: LoadedPipeline,
) -> None:
    _, plan = _verifying(tiny, repairing=("A RED PANDA asleep on a mossy branch in the sun",))
    assert isinstance(plan, VerifyPlanned)
    assert not any("panda" in prompt for prompt in plan.reporting.prompts)


def test_a_negative_prompt_and_hundreds_of_prompts_are_told_in_few_sentences(
    tiny: LoadedPipeline,
) -> None:
    reader = PromptReader(tiny.pipeline, tiny.defaults.max_sequence_length)
    many = [f"{number} {_WORDS}" for number in range(10)] + [f"{_WORDS} {n}" for n in range(10)]
    said = [notice.text for notice in reader.notices(many, negative_prompt=_PEAR)]
    assert said[3] == "17 more of 20 prompts are cut to the 16 tokens that this model reads"
    assert said[4].startswith("the negative prompt has ")
    assert said[8] == "6 more of 20 prompts are read as an earlier one: they count as one prompt"
    assert len(said) == 9
