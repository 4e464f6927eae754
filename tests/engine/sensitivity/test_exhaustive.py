"""The exhaustive method on a tiny PixArt of random weights, and against plain diffusers."""

from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.errors import CancelledError, RequestError
from pixart_tui.domain.events import FloorMeasured, LayerMeasured, ProfilePlanned
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.image_metrics import mse_per_sample, ssim_per_image
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sensitivity import profile_model
from pixart_tui.engine.sensitivity.parallel import CancelToken, run_parallel
from pixart_tui.engine.sensitivity.planning import resolve_settings
from pixart_tui.engine.sensitivity.rendering import Rendered, Renderer, Sample, compare
from tests.engine.sensitivity.events import Yielded, of

_REQUEST = ProfileRequest(
    model="synthetic:alpha-tiny",
    prompts=("red apple", "robot"),
    seeds=(3,),
    num_inference_steps=2,
    guidance_scale=2.0,
    method="exhaustive",
    output="unused.json",
    threads=1,
)


@pytest.fixture(scope="module")
def events() -> list[Yielded]:
    return list(profile_model(_REQUEST))


def _by_layer(events: list[LayerMeasured]) -> dict[str, tuple[Measurement, ...]]:
    return {event.layer: event.measurements for event in events}


def test_every_layer_is_measured_once_or_excluded_with_a_reason(
    events: list[Yielded],
) -> None:
    (plan,) = of(events, ProfilePlanned)
    measured = [event.layer for event in of(events, LayerMeasured)]
    assert sorted(measured) == sorted({x.fqn for x in plan.layers} - set(plan.excluded))
    assert plan.excluded
    assert all("16" in reason for reason in plan.excluded.values())


def test_each_layer_has_one_measurement_per_prompt_and_seed(
    events: list[Yielded],
) -> None:
    for event in of(events, LayerMeasured):
        found = [(m.prompt, m.seed) for m in event.measurements]
        assert found == [("red apple", 3), ("robot", 3)]
        assert all(m.finite and m.ssim is not None and m.ssim < 1 for m in event.measurements)


def test_the_floor_is_measured_against_the_same_baseline(
    events: list[Yielded],
) -> None:
    (floor,) = of(events, FloorMeasured)
    assert floor.dtype == "bfloat16"
    assert [c.prompt for c in floor.comparisons] == ["red apple", "robot"]
    assert all(c.loss is not None and c.loss > 0 for c in floor.comparisons)


def _by_hand(fqn: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and image of the stock pipeline, with one linear's operands rounded to fp8."""
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
    pipe = loaded.pipeline
    if fqn is not None:
        linear = pipe.transformer.get_submodule(fqn)
        linear.weight.data = _rounded(linear.weight.data)
        linear.register_forward_pre_hook(lambda _module, args: (_rounded(args[0]),))
    latents = pipe(
        "robot",
        generator=torch.Generator("cpu").manual_seed(3),
        num_inference_steps=2,
        guidance_scale=2.0,
        height=loaded.defaults.height,
        width=loaded.defaults.width,
        max_sequence_length=loaded.defaults.max_sequence_length,
        clean_caption=False,
        use_resolution_binning=False,
        output_type="latent",
    ).images
    with torch.no_grad():
        image = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return latents, (image / 2 + 0.5).clamp(0, 1)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    scale = values.abs().amax(dim=-1, keepdim=True).double() / 448
    return ((values / scale).to(torch.float8_e4m3fn).double() * scale).float()


def test_a_measurement_is_what_plain_diffusers_gives_with_that_layer_in_fp8(
    events: list[Yielded],
) -> None:
    fqn = "transformer_blocks.1.ff.net.0.proj"
    (event,) = [e for e in of(events, LayerMeasured) if e.layer == fqn]
    latents, image = _by_hand(fqn)
    reference_latents, reference = _by_hand(None)
    measured = event.measurements[1]
    assert measured.latent_mse == pytest.approx(
        mse_per_sample(latents, reference_latents)[0], rel=0.05
    )
    assert 1 - measured.ssim == pytest.approx(1 - ssim_per_image(image, reference)[0], rel=0.05)


def test_what_is_measured_already_is_not_measured_again_and_the_rest_is_the_same(
    events: list[Yielded],
) -> None:
    before = of(events, LayerMeasured)
    half = {event.layer for event in before[: len(before) // 2]}
    resumed = list(profile_model(_REQUEST, measured=half, floor_known=True))
    after = of(resumed, LayerMeasured)
    assert not of(resumed, FloorMeasured)
    assert _by_layer(after) == {
        fqn: found for fqn, found in _by_layer(before).items() if fqn not in half
    }


def test_a_check_that_raises_ends_the_work_between_two_steps() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        list(profile_model(_REQUEST, check=check))
    assert len(calls) == 3


def test_a_wrong_quant_type_ends_before_anything_is_loaded() -> None:
    with pytest.raises(RequestError, match="quant type"):
        next(profile_model(_REQUEST.replace(quant_type="fp9")))


def test_the_deployment_dtype_starts_from_the_noise_of_the_baseline() -> None:
    device = torch.device("cpu")
    half = load_pipeline("synthetic:alpha-tiny", dtype=torch.bfloat16, device=device)
    full = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=device)
    settings = resolve_settings(_REQUEST, full)
    renderers = (Renderer(x.pipeline, settings, lambda: None) for x in (half, full))
    noises = [renderer.prepare(settings.samples).noise for renderer in renderers]
    assert noises[0].dtype is torch.float32
    assert torch.equal(*noises)


def test_replicas_give_what_one_replica_gives(events: list[Yielded]) -> None:
    with_replicas = list(profile_model(_REQUEST.replace(threads=3)))
    assert _by_layer(of(with_replicas, LayerMeasured)) == _by_layer(of(events, LayerMeasured))


def test_a_replica_that_fails_ends_the_others() -> None:
    started: list[int] = []
    stop = CancelToken(lambda: None)

    def work(replica: int, task: int) -> int:
        started.append(task)
        if task == 1:
            raise ValueError("broken")
        while True:
            stop()

    with pytest.raises(ValueError, match="broken"):
        list(run_parallel([0, 1], [1, 2, 3, 4], work, stop))
    assert len(started) < 4


def test_a_nan_is_marked_and_given_no_figures() -> None:
    samples = (Sample("a", 0), Sample("b", 0))
    clean = Rendered(samples, torch.rand(2, 4, 8, 8), torch.rand(2, 3, 64, 64))
    latents = clean.latents.clone()
    latents[0, 0, 0, 0] = torch.nan
    broken, fine = compare(Rendered(samples, latents, clean.images), clean)
    assert broken == Comparison(prompt="a", seed=0, finite=False)
    assert fine.ssim == pytest.approx(1.0)
