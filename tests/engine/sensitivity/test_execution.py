"""Real kernels and bfloat16 baselines, with the kernels that a CPU has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import FloorMeasured, LayerMeasured, ProfilePlanned
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.loading import LoadedPipeline, load_asked
from pixart_tui.engine.quant import apply
from pixart_tui.engine.quant.isolated import IsolatedRealLinear
from pixart_tui.engine.sensitivity import profile_model, profiling
from pixart_tui.engine.sensitivity.planning import resolve_settings
from pixart_tui.engine.sensitivity.rendering import Renderer
from tests.engine.sensitivity.events import Yielded, of

_REQUEST = ProfileRequest(
    model="synthetic:alpha-tiny",
    quant_type="int8_dynamic",
    prompts=("red apple", "robot"),
    num_inference_steps=1,
    guidance_scale=2.0,
    method="exhaustive",
    output="unused.json",
    threads=1,
)


def _run(**changes: object) -> list[Yielded]:
    return list(profile_model(_REQUEST.replace(**changes), floor_known=True))


def _loss_by_layer(events: list[Yielded]) -> dict[str, float]:
    measured: list[LayerMeasured] = of(events, LayerMeasured)
    return {x.layer: sum(m.loss or 0.0 for m in x.measurements) for x in measured}


def test_real_kernels_measure_what_the_simulation_predicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []

    class Watched(IsolatedRealLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append(self.quant_type.name)
            return super().forward(x)

    monkeypatch.setattr(apply, "IsolatedRealLinear", Watched)
    simulated, real = _run(), _run(execution="real")
    (plan,) = of(real, ProfilePlanned)
    assert plan.conditions.execution == "real"
    assert set(ran) == {"int8_dynamic"}
    expected, found = _loss_by_layer(simulated), _loss_by_layer(real)
    assert found.keys() == expected.keys()
    assert found != expected
    # Rounding to bfloat16 and to int8 are of one size; the sum stays of that size.
    assert sum(found.values()) == pytest.approx(sum(expected.values()), rel=0.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about a machine without a GPU")
def test_what_the_device_does_not_run_is_refused_and_never_simulated() -> None:
    request = _REQUEST.replace(quant_type="fp8_e4m3_e4m3_dynamic", execution="real")
    with pytest.raises(RequestError, match="does not run with its real kernel") as raised:
        next(profile_model(request))
    assert "compute capability 8.9" in raised.value.cause
    assert "int8_dynamic" in raised.value.cause
    assert "--execution simulated" in raised.value.next_step


def test_a_layer_that_the_kernel_refuses_is_excluded_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No int8 shape fails on a CPU, so the kernel that is there refuses one here."""

    class Fussy(IsolatedRealLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] == 40:
                raise RuntimeError("mat2 is not to my liking\nframes")
            return super().forward(x)

    monkeypatch.setattr("pixart_tui.engine.quant.isolated.IsolatedRealLinear", Fussy)
    plain, fussy = _run(execution="simulated"), _run(execution="real")
    (before,), (after,) = of(plain, ProfilePlanned), of(fussy, ProfilePlanned)
    new = {fqn: why for fqn, why in after.excluded.items() if fqn not in before.excluded}
    assert new == {"caption_projection.linear_1": "its kernel failed: mat2 is not to my liking"}
    assert set(_loss_by_layer(fussy)).isdisjoint(after.excluded)


def test_a_bfloat16_baseline_loads_no_float32_model_and_measures_no_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[torch.dtype] = []

    def load(asked: ProfileRequest, *, dtype: torch.dtype, device: torch.device) -> LoadedPipeline:
        loaded.append(dtype)
        return load_asked(asked, dtype=dtype, device=device)

    monkeypatch.setattr(profiling, "load_asked", load)
    request = _REQUEST.replace(baseline_dtype="bfloat16")
    events = list(profile_model(request))
    assert loaded == [torch.bfloat16]
    assert not of(events, FloorMeasured)
    (plan,) = of(events, ProfilePlanned)
    assert (plan.conditions.baseline_dtype, plan.conditions.floor_dtype) == ("bfloat16", None)
    assert all(loss > 0 for loss in _loss_by_layer(events).values())


def test_the_text_encoder_is_freed_once_the_prompts_are_encoded(tiny: LoadedPipeline) -> None:
    encoder = tiny.pipeline.text_encoder
    settings = resolve_settings(_REQUEST, tiny)
    renderer = Renderer(tiny.pipeline, settings, lambda: None)
    assert tiny.pipeline.text_encoder is None
    assert encoder not in tiny.pipeline.components.values()
    (images,) = renderer.replica().render(2)
    assert torch.equal(images.images, next(iter(renderer.render(2))).images)


def test_prompts_are_encoded_once_whatever_onediffs(
    tiny: LoadedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[list[str]] = []
    original = tiny.pipeline.encode_prompt

    def encode(prompts: list[str], **options: Any) -> Any:
        encoded.append(prompts)
        return original(prompts, **options)

    monkeypatch.setattr(tiny.pipeline, "encode_prompt", encode)
    settings = resolve_settings(_REQUEST.replace(seeds=(0, 1, 2)), tiny)
    renderer = Renderer(tiny.pipeline, settings, lambda: None)
    assert encoded == [["red apple", "robot"], [""]]
    batch = renderer.prepare(settings.samples[1:4])
    assert torch.equal(batch.conditioning.prompt_embeds[0], batch.conditioning.prompt_embeds[2])
    assert not torch.equal(batch.conditioning.prompt_embeds[0], batch.conditioning.prompt_embeds[1])


def test_batches_depend_on_the_size_the_device_and_the_samples(tiny: LoadedPipeline) -> None:
    seeds = tuple(range(150))
    many = resolve_settings(_REQUEST.replace(seeds=seeds), tiny)
    large = resolve_settings(_REQUEST.replace(seeds=seeds, height=1024, width=1024), tiny)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert (many.batch_size(cpu), many.batch_size(gpu)) == (16, 300)
    assert (large.batch_size(cpu), large.batch_size(gpu)) == (4, 4)
    assert resolve_settings(_REQUEST, tiny).batch_size(gpu) == 2
