"""``optimize`` on pipelines that were loaded with plain diffusers, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from pixart_tui import load, optimize, restore
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.selecting.rules import DEFAULT_RULE
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.bench.call import resolve_call
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.deployment.snapshot import modules_of
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.real import is_quantized
from tests.tui.sample_runs import conditions

_TYPE: Final = "int8_dynamic"
_EMBEDDINGS: Final = (
    *("prompt_embeds", "prompt_attention_mask"),
    *("negative_prompt_embeds", "negative_prompt_attention_mask"),
)
_CALL: Final[dict[str, Any]] = {
    "num_inference_steps": 3,
    "height": 64,
    "width": 64,
    "use_resolution_binning": False,
    "output_type": "np",
}


def _silent(_text: str) -> None:
    pass


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> None:
    torch.set_num_threads(1)
    torch.compiler.reset()


@pytest.fixture
def alpha() -> Any:
    return load("synthetic:alpha-tiny", device="cpu")


def _image(
    pipe: Any, prompt: str | list[str] | None = "red apple", **more: Any
) -> npt.NDArray[np.float32]:
    generator = torch.Generator("cpu").manual_seed(3)
    images: npt.NDArray[np.float32] = pipe(prompt, generator=generator, **(_CALL | more)).images
    return images


def _weights(pipe: Any) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor
        for part in ("transformer", "vae", "text_encoder")
        for name, tensor in getattr(pipe, part).state_dict(keep_vars=True).items()
    }


def _state(pipe: Any) -> tuple[type, list[nn.Module], dict[int, set[str]]]:
    modules = list(modules_of(pipe))
    return type(pipe), modules, {id(module): set(module.__dict__) for module in modules}


def test_a_restored_pipeline_has_its_very_modules_and_weights(alpha: Any) -> None:
    before, state, image = _weights(alpha), _state(alpha), _image(alpha)
    values = {name: tensor.detach().clone() for name, tensor in before.items()}
    told: list[str] = []

    assert optimize(alpha, quant_type=_TYPE, tell=told.append) is alpha
    assert told[-1].endswith("GiB of host memory keep the pipeline as it was")
    assert not np.array_equal(_image(alpha), image)
    assert any(text.startswith("first call: transformer blocks") for text in told)
    count = len(told)
    _image(alpha, "robot")
    assert len(told) == count
    assert restore(alpha) is alpha

    after = _weights(alpha)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], values[name]) for name in values)
    assert all(after[name].requires_grad == before[name].requires_grad for name in before)
    assert _state(alpha) == state
    assert np.array_equal(_image(alpha), image)


def test_it_deploys_what_bench_measures(tmp_path: Path) -> None:
    layers = ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2")
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({fqn: {"ssim": 0.9} for fqn in layers}))
    device = torch.device("cpu")
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=device)
    choice = Choice.of_one(_TYPE, layers, KeptSteps(numbers=(2,)))
    deploy(loaded.pipeline, Deployment(choice=choice), Execution.REAL, device)
    ours = load("synthetic:alpha-tiny", device="cpu")
    optimize(
        ours,
        selection=file,
        quant_type=_TYPE,
        top_percentage=100,
        keep_steps="2",
        compiler="none",
        tell=_silent,
    )
    request = BenchRequest(num_inference_steps=4, height=64, width=64)
    call = resolve_call(request, loaded)
    benched, mine = (
        pipe(**call.arguments(), output_type="np").images for pipe in (loaded.pipeline, ours)
    )
    assert np.array_equal(benched, mine)


def test_it_is_called_as_before(alpha: Any) -> None:
    optimize(alpha, quant_type=_TYPE, keep_steps="1", compiler="none", tell=_silent)
    several = _image(alpha, ["red apple", "robot"], num_images_per_prompt=2)
    assert several.shape == (4, 64, 64, 3)
    assert _image(alpha, height=48, width=80).shape == (1, 48, 80, 3)
    steps: list[int] = []
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    found = alpha(
        "robot",
        negative_prompt="blurry",
        latents=latents,
        callback=lambda step, _time, _latents: steps.append(step),
        callback_steps=1,
        **(_CALL | {"output_type": "latent"}),
    ).images
    assert steps == [0, 1, 2]
    assert found.shape == (1, 4, 8, 8)
    embeds = alpha.encode_prompt("robot", device=alpha.device)
    by_hand = dict(zip(_EMBEDDINGS, embeds, strict=True))
    by_hand_image = _image(alpha, None, negative_prompt=None, **by_hand)
    assert np.array_equal(by_hand_image, _image(alpha, "robot", clean_caption=False))


def test_another_scheduler_may_be_set_afterwards_and_stays(alpha: Any) -> None:
    optimize(alpha, quant_type=_TYPE, keep_steps="1", compiler="none", tell=_silent)
    image = _image(alpha)
    alpha.scheduler = diffusers.EulerDiscreteScheduler.from_config(alpha.scheduler.config)
    assert not np.array_equal(_image(alpha), image)
    restore(alpha)
    assert isinstance(alpha.scheduler, diffusers.EulerDiscreteScheduler)


def test_a_pipeline_without_a_text_encoder_takes_embeddings(alpha: Any) -> None:
    embeds = alpha.encode_prompt("robot", device=alpha.device)
    by_hand = dict(zip(_EMBEDDINGS, embeds, strict=True))
    expected = _image(alpha, None, negative_prompt=None, **by_hand)
    alpha.text_encoder = None
    optimize(alpha, quant_type="int8_weightonly", compiler="none", tell=_silent)
    compiled = _image(alpha, None, negative_prompt=None, **by_hand)
    assert not np.array_equal(compiled, expected)
    with pytest.raises(RequestError, match="needs the text encoder"):
        optimize(restore(alpha), memory_budget=1.0, tell=_silent)


def test_a_selection_says_its_type(alpha: Any) -> None:
    chosen = _selection("int8_weightonly")
    with pytest.raises(RequestError, match="not chosen for int8_dynamic"):
        optimize(alpha, selection=chosen, quant_type=_TYPE, tell=_silent)
    optimize(alpha, selection=chosen, compiler="none", tell=_silent)
    assert is_quantized(alpha.transformer.get_submodule("proj_out"))


def test_a_saved_selection_is_taken_whole_and_says_its_type(alpha: Any, tmp_path: Path) -> None:
    chosen = tuple(f"transformer_blocks.{n}.attn1.to_q" for n in range(2))
    selection = _selection("int8_weightonly").replace(
        assignments=dict.fromkeys(chosen, "int8_weightonly"), chosen=chosen
    )
    file = tmp_path / "layers.selected.json"
    text = json.dumps({fqn: {"ssim": 0.9} for fqn in chosen})
    file.write_text(text)
    record = SelectionSidecar(
        profile="p.json",
        conditions=conditions(),
        selection=selection,
        measured_ssim=dict.fromkeys(chosen, 0.9),
        use_with_top_percentage=100,
    )
    Path(onediff_file.sidecar_path(file)).write_text(sidecar.render(record))
    optimize(alpha, selection=file, compiler="none", tell=_silent)
    for fqn in chosen:
        assert is_quantized(alpha.transformer.get_submodule(fqn))
    with pytest.raises(RequestError, match="not chosen for int8_dynamic"):
        optimize(restore(alpha), selection=file, quant_type=_TYPE, tell=_silent)


def _selection(quant_type: str) -> Selection:
    return Selection(
        rule=DEFAULT_RULE.rule,
        parameter=1.0,
        quant_type=quant_type,
        assignments={"proj_out": quant_type},
        chosen=("proj_out",),
        kept=(),
        flops_share=0.0,
        predicted_loss=0.0,
    )


def test_without_a_copy_it_cannot_be_restored(alpha: Any) -> None:
    told: list[str] = []
    optimize(alpha, quant_type=_TYPE, compiler="none", restorable=False, tell=told.append)
    assert not any("host memory" in text for text in told)
    with pytest.raises(RequestError, match="cannot be restored"):
        restore(alpha)


def test_a_pipeline_that_is_not_optimized_is_not_restored(alpha: Any) -> None:
    with pytest.raises(RequestError, match="not optimized"):
        restore(alpha)


@pytest.mark.parametrize("name", ["enable_model_cpu_offload", "save_pretrained"])
def test_what_would_undo_it_is_refused(alpha: Any, name: str) -> None:
    optimize(alpha, quant_type=_TYPE, compiler="none", tell=_silent)
    assert alpha.to("cpu") is alpha
    with pytest.raises(RequestError, match=f"cannot do {name}"):
        getattr(alpha, name)("somewhere")
    with pytest.raises(RequestError, match="cannot do to"):
        alpha.to(torch.float16)
    with pytest.raises(RequestError, match="optimized already"):
        optimize(alpha, tell=_silent)


def _compiled(pipe: Any) -> None:
    pipe.transformer.compile()


def _wrapped(pipe: Any) -> None:
    pipe.transformer = torch.compile(pipe.transformer)


def _quantized(pipe: Any) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(pipe.transformer, Int8WeightOnlyConfig())


def _half(pipe: Any) -> None:
    pipe.vae.to(torch.bfloat16)


def _meta(pipe: Any) -> None:
    pipe.transformer.to("meta")


def _offloaded(pipe: Any) -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module  # type: ignore[import-untyped]

    add_hook_to_module(pipe.vae, ModelHook())


def _with_lora(pipe: Any) -> None:
    block = pipe.transformer.transformer_blocks[0].attn1
    block.to_q.lora_A = nn.Linear(4, 4)


def _other(pipe: Any) -> None:
    pipe.transformer = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (_compiled, "compiled already"),
        (_wrapped, "compiled already"),
        (_quantized, "quantized already"),
        (_half, "several dtypes"),
        (_meta, "not on one device"),
        (_offloaded, "moves its parts"),
        (_with_lora, "LoRA that is not merged"),
        (_other, "no PixArt pipeline"),
    ],
)
def test_a_pipeline_that_cannot_be_deployed_is_refused_and_untouched(
    alpha: Any, change: Callable[[Any], None], title: str
) -> None:
    change(alpha)
    before = _state(alpha)
    with pytest.raises(RequestError, match=title):
        optimize(alpha, quant_type=_TYPE, tell=_silent)
    assert _state(alpha) == before


def test_a_part_of_a_pipeline_is_no_pipeline(alpha: Any) -> None:
    with pytest.raises(RequestError, match="no PixArt pipeline"):
        optimize(alpha.transformer, tell=_silent)


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"quant_type": "fp8_e4m3_e4m3_dynamic"}, "real kernel"),
        ({"quant_type": _TYPE, "fp8_attention": True}, "our own kernels"),
        ({"compiler": "nexfort"}, "does not run nexfort"),
        ({"compiler": "tensorrt"}, "no compiler"),
        ({"execution": "simulated"}, "not compiled"),
        ({"keep_steps": "2"}, "nothing is quantized"),
        ({"compiler_config": "{"}, "."),
    ],
)
def test_options_that_do_not_go_together_leave_the_pipeline_untouched(
    alpha: Any, options: dict[str, Any], title: str
) -> None:
    before, image = _state(alpha), _image(alpha)
    with pytest.raises(RequestError, match=title):
        optimize(alpha, tell=_silent, **options)
    assert _state(alpha) == before
    assert np.array_equal(_image(alpha), image)


def test_a_simulation_draws_the_reference_numerics(alpha: Any) -> None:
    image = _image(alpha)
    optimize(
        alpha,
        quant_type="fp8_e4m3_e4m3_dynamic",
        compiler="none",
        execution="simulated",
        tell=_silent,
    )
    assert not np.array_equal(_image(alpha), image)


def test_perturbed_attention_guidance_runs_with_three_images_in_a_batch() -> None:
    sigma = load("synthetic:sigma-tiny", device="cpu")
    pag = diffusers.PixArtSigmaPAGPipeline(**sigma.components, pag_applied_layers=["blocks.0"])
    image = _image(pag, pag_scale=3.0)
    optimize(pag, quant_type=_TYPE, compiler="none", keep_steps="1,3", tell=_silent)
    assert not np.array_equal(_image(pag, pag_scale=3.0), image)
    restore(pag)
    assert np.array_equal(_image(pag, pag_scale=3.0), image)
