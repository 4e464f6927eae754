"""Profiles with the CUDA kernels: one layer of pixart-emoji, and a few of a tiny PixArt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.events import BatchChosen, LayerMeasured, ProfilePlanned
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.engine.quant.isolated import IsolatedRealLinear
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear
from pixart_tui.engine.sensitivity import profile_model
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.planning import resolve_settings
from pixart_tui.engine.sensitivity.rendering import Renderer
from tests.engine.sensitivity.events import of

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
QUANT_TYPES = ["fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor", "int8_dynamic"]
LAYERS = ["transformer_blocks.0.attn1.to_q", "transformer_blocks.4.ff.net.2"]
_EMOJI = ProfileRequest(
    device="cuda", prompts=("red apple", "robot"), method="exhaustive", output="unused.json"
)
_TINY = _EMOJI.replace(model="synthetic:alpha-tiny", num_inference_steps=2)


def runnable(name: str) -> QuantType:
    quant_type = parse_quant_type(name)
    plan = plan_execution(quant_type, CUDA)
    if plan.execution is Execution.SIMULATED:
        pytest.skip(plan.reason)
    return quant_type


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


@pytest.fixture(scope="module")
def emoji() -> LoadedPipeline:
    return load_pipeline("pixart-emoji", dtype=torch.float32, device=CUDA)


def _activation(emoji: LoadedPipeline, fqn: str) -> tuple[nn.Linear, Tensor]:
    """A layer of the trained model and what reaches it in the first step of two images."""
    pipeline = emoji.pipeline
    linear = pipeline.transformer.get_submodule(fqn)
    seen: list[Tensor] = []
    handle = linear.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    pipeline(
        ["red apple", "robot"],
        num_inference_steps=2,
        height=128,
        width=128,
        clean_caption=False,
        use_resolution_binning=False,
    )
    handle.remove()
    return linear, seen[0]


@pytest.mark.parametrize("name", QUANT_TYPES)
@pytest.mark.parametrize("fqn", LAYERS)
@torch.no_grad()
def test_one_real_layer_is_the_simulated_one_but_for_accumulation(
    emoji: LoadedPipeline, fqn: str, name: str
) -> None:
    quant_type = runnable(name)
    linear, x = _activation(emoji, fqn)
    assert x.shape[0] == 4
    layout = BatchLayout(guidance=2, images=2)
    rounded = nn.Linear(linear.in_features, linear.out_features, device="meta")
    rounded.weight = nn.Parameter(linear.weight.bfloat16(), requires_grad=False)
    rounded.bias = nn.Parameter(linear.bias.bfloat16(), requires_grad=False)
    expected = SimulatedLinear(rounded, quant_type, layout)(x.bfloat16())
    actual = IsolatedRealLinear(linear, quant_type, layout)(x)
    assert actual.dtype is torch.float32
    assert relative_error(actual, expected) < (0.02 if name == "int8_dynamic" else 0.01)


@pytest.mark.parametrize("name", QUANT_TYPES[:2])
def test_a_real_layer_disturbs_the_image_as_the_simulated_one_does(name: str) -> None:
    runnable(name)
    losses = {
        execution: _latent_mse(_EMOJI.replace(**_changes(name, execution)))
        for execution in ("simulated", "real")
    }
    assert losses["real"].keys() == losses["simulated"].keys() == set(LAYERS)
    for fqn in LAYERS:
        assert 0.5 < losses["real"][fqn] / losses["simulated"][fqn] < 2, losses


def _changes(name: str, execution: str) -> dict[str, object]:
    return {"quant_type": name, "execution": execution}


def _latent_mse(request: ProfileRequest) -> dict[str, float]:
    events = list(profile_model(request, measured=_all_but(request, LAYERS), floor_known=True))
    layers: list[LayerMeasured] = of(events, LayerMeasured)
    return {x.layer: sum(m.latent_mse or 0.0 for m in x.measurements) for x in layers}


def _all_but(request: ProfileRequest, wanted: list[str]) -> set[str]:
    loaded = load_pipeline(request.model, dtype=torch.bfloat16, device=torch.device("cpu"))
    settings = resolve_settings(request, loaded)
    layers = list_layers(
        loaded.pipeline,
        height=settings.height,
        width=settings.width,
        text_tokens=settings.max_sequence_length,
    )
    return {layer.fqn for layer in layers} - set(wanted)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_layers_of_a_tiny_model_for_real(dtype: str) -> None:
    runnable("fp8_e4m3_e4m3_dynamic")
    changes: dict[str, object] = {"execution": "real", "baseline_dtype": dtype}
    request = _TINY.replace(**changes)
    wanted = ["transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2"]
    events = list(profile_model(request, measured=_all_but(request, wanted), floor_known=True))
    (plan,) = of(events, ProfilePlanned)
    assert plan.conditions.execution == "real"
    assert plan.machine.device == "cuda"
    assert of(events, BatchChosen) == [BatchChosen(images=2)]
    measured = of(events, LayerMeasured)
    assert sorted(x.layer for x in measured) == wanted
    for layer in measured:
        assert all(m.finite and m.latent_mse > 0 for m in layer.measurements)


def test_the_text_encoder_leaves_the_gpu() -> None:
    loaded = load_pipeline("pixart-emoji", dtype=torch.float32, device=CUDA)
    encoder = sum(p.numel() * p.element_size() for p in loaded.pipeline.text_encoder.parameters())
    before = torch.cuda.memory_allocated()
    renderer = Renderer(loaded.pipeline, resolve_settings(_EMOJI, loaded), lambda: None)
    assert torch.cuda.memory_allocated() < before - 0.8 * encoder
    (rendered,) = renderer.render(2)
    assert rendered.images.device.type == "cuda"
    assert rendered.images.isfinite().all()


@pytest.fixture
def whole_gpu() -> Iterator[None]:
    """Gives the memory back to the tests that follow."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    free_unused()


@pytest.mark.usefixtures("whole_gpu")
def test_a_gpu_that_is_really_full_gets_smaller_batches() -> None:
    # Sixteen images of 256 x 256 are decoded in one go, which takes the most memory.
    changes: dict[str, object] = {"seeds": tuple(range(8)), "height": 256, "width": 256}
    request = _TINY.replace(**changes)
    loaded = load_pipeline(request.model, dtype=torch.float32, device=CUDA)
    renderer = Renderer(loaded.pipeline, resolve_settings(request, loaded), lambda: None)
    _render(renderer, 1)
    reserved = _render(renderer, 1)[1]
    allocated = _render(renderer, 16)[0]
    assert reserved < allocated
    total = torch.cuda.get_device_properties(CUDA).total_memory
    # As much as one image took: cuDNN makes do with less workspace where memory is short.
    torch.cuda.set_per_process_memory_fraction(reserved / total)
    free_unused()  # what is held already could still be used
    comparer = Comparer(renderer, 16)
    comparisons = comparer.compare(renderer)
    assert comparer.batch_size < 16
    assert [change.images for change in comparer.take_changes()][-1] == comparer.batch_size
    assert len(comparisons) == 16
    assert all(c.ssim is not None and c.ssim > 0.999 for c in comparisons)


def _render(renderer: Renderer, batch_size: int) -> tuple[int, int]:
    """Makes all images; peak of the bytes allocated and reserved."""
    free_unused()
    torch.cuda.reset_peak_memory_stats()
    for _ in renderer.render(batch_size):
        pass
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
