"""The fast method on a tiny PixArt of random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixart_tui.domain.events import (
    Event,
    ImagesPlanned,
    LayerMeasured,
    LayerProbed,
    ProbesPrepared,
    ProfilePlanned,
    StabilityChecked,
)
from pixart_tui.domain.fast_progress import FastProgress
from pixart_tui.domain.profile import LayerScore, Profile
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sensitivity import BaselineImage, profile_model
from pixart_tui.engine.sensitivity.teacher import Classroom

_REQUEST = ProfileRequest(
    model="synthetic:alpha-tiny",
    prompts=("red apple", "robot"),
    seeds=(3,),
    num_inference_steps=4,
    guidance_scale=2.0,
    output="unused.json",
    threads=1,
)


def _run(progress: FastProgress | None = None, **changes: Any) -> list[Event | BaselineImage]:
    request = _REQUEST.model_copy(update=changes)
    return list(profile_model(request, floor_known=True, progress=progress))


@pytest.fixture(scope="module")
def events() -> list[Event | BaselineImage]:
    return _run()


def _of(events: list[Event | BaselineImage], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _fold(events: list[Event | BaselineImage]) -> FastProgress:
    progress = FastProgress()
    for event in events:
        if not isinstance(event, BaselineImage):
            progress.take(event)
    return progress


def _scores(plan: ProfilePlanned, progress: FastProgress) -> tuple[LayerScore, ...]:
    return Profile(
        conditions=plan.conditions,
        layers=plan.layers,
        excluded=plan.excluded,
        measurements=progress.measurements,
        probing=progress.probing,
    ).scores()


def test_every_layer_is_probed_once_on_every_row(events: list[Event | BaselineImage]) -> None:
    (plan,), (prepared,) = _of(events, ProfilePlanned), _of(events, ProbesPrepared)
    probed = [event.layer for event in _of(events, LayerProbed)]
    assert sorted(probed) == sorted({x.fqn for x in plan.layers} - set(plan.excluded))
    for event in _of(events, LayerProbed):
        assert len(event.errors) == len(prepared.rows)
        assert all(error is not None and error > 0 for error in event.errors)
    assert len(_of(events, StabilityChecked)) == 1


def test_estimates_say_so_and_have_an_interval(events: list[Event | BaselineImage]) -> None:
    (plan,) = _of(events, ProfilePlanned)
    scores = [s for s in _scores(plan, _fold(events)) if s.ssim is not None]
    assert any(score.estimated for score in scores)
    for score in scores:
        assert score.ssim_low is not None
        assert score.ssim_high is not None
        assert score.estimated == (score.imaged < score.samples)
        if score.estimated:
            assert score.ssim_low < score.ssim_high


def _by_hand(layer: str | None, row: int, prepared: ProbesPrepared) -> torch.Tensor:
    """The stock pipeline's guided prediction at one row's step, with a layer's operands rounded.

    The trajectory before that step is undisturbed.
    """
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
    pipe, wanted = loaded.pipeline, prepared.rows[row]
    found: list[torch.Tensor] = []
    step = pipe.scheduler.step

    def spy(noise: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found.append(noise)
        return step(noise, *args, **kwargs)

    def disturb(module: Any, *_: Any) -> None:
        if layer is not None and len(found) == wanted.step:
            linear = pipe.transformer.get_submodule(layer)
            linear.weight.data = _rounded(linear.weight.data)
            linear.register_forward_pre_hook(lambda _module, args: (_rounded(args[0]),))

    pipe.transformer.register_forward_pre_hook(disturb)
    pipe.scheduler.step = spy
    pipe(
        wanted.prompt,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        num_inference_steps=4,
        guidance_scale=2.0,
        height=loaded.defaults.height,
        width=loaded.defaults.width,
        max_sequence_length=loaded.defaults.max_sequence_length,
        clean_caption=False,
        use_resolution_binning=False,
        output_type="latent",
    )
    return found[wanted.step]


def _rounded(values: torch.Tensor) -> torch.Tensor:
    scale = values.abs().amax(dim=-1, keepdim=True).double() / 448
    return ((values / scale).to(torch.float8_e4m3fn).double() * scale).float()


@pytest.mark.parametrize("layer", ["transformer_blocks.1.ff.net.0.proj", "proj_out"])
def test_an_error_is_what_plain_diffusers_gives_at_that_step(
    events: list[Event | BaselineImage], layer: str
) -> None:
    (prepared,) = _of(events, ProbesPrepared)
    (event,) = [e for e in _of(events, LayerProbed) if e.layer == layer]
    for row in (0, len(prepared.rows) - 1):
        difference = _by_hand(layer, row, prepared) - _by_hand(None, row, prepared)
        assert event.errors[row] == pytest.approx(float(difference.square().mean()), rel=0.02)


@pytest.mark.parametrize("kept", [0, 1, 4, 9, 40, 90, 97])
def test_resuming_anywhere_changes_nothing(events: list[Event | BaselineImage], kept: int) -> None:
    """Whatever percentage of the events the interrupted run has journalled."""
    whole = _fold(events)
    partial = _fold(events[: len(events) * kept // 100])
    resumed = _run(partial)
    (plan,) = _of(resumed, ProfilePlanned)
    assert partial.probing is not None
    assert whole.probing is not None
    assert partial.probing.errors == whole.probing.errors
    assert partial.probing.rows == whole.probing.rows
    assert set(partial.measurements) == set(whole.measurements)
    assert _scores(plan, partial) == _scores(plan, whole)


def test_lanes_give_what_one_lane_gives(events: list[Event | BaselineImage]) -> None:
    (plan,) = _of(events, ProfilePlanned)
    assert _scores(plan, _fold(_run(threads=3))) == _scores(plan, _fold(events))


def test_images_are_made_only_as_planned(events: list[Event | BaselineImage]) -> None:
    planned = {
        (layer, index)
        for event in _of(events, ImagesPlanned)
        for layer, picked in event.tasks.items()
        for index in picked
    }
    assert len(planned) == sum(len(e.measurements) for e in _of(events, LayerMeasured))


def test_a_full_gpu_halves_what_is_probed_together(
    events: list[Event | BaselineImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU the size of the batch changes no bit, so the errors stay."""
    calm = Classroom.errors

    def errors(self: Classroom, *args: Any) -> Any:
        if max(lesson.layout.images for lesson in self._lessons) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return calm(self, *args)

    monkeypatch.setattr(Classroom, "errors", errors)
    stressed = _fold(_run()).probing
    whole = _fold(events).probing
    assert stressed is not None
    assert whole is not None
    for layer, found in whole.errors.items():
        assert stressed.errors[layer] == pytest.approx(found, rel=1e-4)


def test_bfloat16_alone_measures_its_own_null() -> None:
    found = _run(baseline_dtype="bfloat16")
    (prepared,) = _of(found, ProbesPrepared)
    assert len(prepared.null) == len(prepared.rows)
    assert all(value >= 0 for value in prepared.null)
    assert _of(found, LayerProbed)
