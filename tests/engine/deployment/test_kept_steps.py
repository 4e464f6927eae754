"""Steps that stay in 16 bits, deployed on a tiny PixArt on the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, cycle
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, parse_quant_type
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.engine.bench.call import resolve_call
from pixart_tui.engine.compilers.progress import compiled_regions
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.deployment.kept_steps import KeptStepsCall, keep_steps, share_layers
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample, Settings
from pixart_tui.engine.verification.probe import jointly_quantized
from pixart_tui.engine.weight_sharing import weight_sharing_copy

_CPU: Final = torch.device("cpu")
_MODEL: Final = "synthetic:alpha-tiny"
_FP8: Final = "fp8_e4m3_e4m3_dynamic"
_STEPS: Final = 4
_KEPT: Final = KeptSteps(first=1, last=1)
_OF_STEPS: Final = (
    "transformer_blocks.0.attn1.to_q",
    "transformer_blocks.0.ff.net.2",
    "transformer_blocks.1.attn2.to_q",
    "proj_out",
)
_OF_TEXT: Final = ("caption_projection.linear_1", "transformer_blocks.1.attn2.to_v")
_LAYERS: Final = (*_OF_STEPS, *_OF_TEXT)
_MIXED: Final = Choice(
    assignments=dict(zip(_LAYERS, cycle((_FP8, "int8_dynamic", "int8_weightonly")), strict=False)),
    kept_steps=KeptSteps(last=1, numbers=(2,)),
    at_every_step=(_OF_STEPS[0], _OF_STEPS[3]),
)
_EMBEDDED: Final = "pixart-emoji"
_WITH_ATTENTION: Final = Choice(
    assignments={
        **dict.fromkeys(("transformer_blocks.0.ff.net.2", "proj_out"), _FP8),
        **dict.fromkeys(
            ("transformer_blocks.2.attn1", "transformer_blocks.4.attn1"), FP8_ATTENTION
        ),
    },
    kept_steps=KeptSteps(numbers=(2, 4)),
    at_every_step=("transformer_blocks.4.attn1", "proj_out"),
)
_MIXED_INT8: Final = Choice(
    assignments=dict(zip(_LAYERS, cycle(("int8_dynamic", "int8_weightonly")), strict=False)),
    kept_steps=_KEPT,
    at_every_step=_OF_STEPS[1:3],
)
"""Of types that a CPU runs for real."""


def _loaded(model: str = _MODEL) -> LoadedPipeline:
    return load_pipeline(model, dtype=torch.float32, device=_CPU)


def _benched(choice: Choice, guidance: float, model: str = _MODEL) -> Tensor:
    """The image of a benchmark's row, (3, H, W)."""
    loaded = _loaded(model)
    deployment = Deployment(choice=choice.of_layers, attention=choice.of_attention)
    deploy(loaded.pipeline, deployment, Execution.SIMULATED, _CPU)
    return _image(loaded, guidance)


def _image(loaded: LoadedPipeline, guidance: float = 2.0) -> Tensor:
    request = BenchRequest(
        model=_MODEL,
        prompts=("owl",),
        seed=5,
        num_inference_steps=_STEPS,
        guidance_scale=guidance,
    )
    arguments = resolve_call(request, loaded).arguments()
    image: Tensor = loaded.pipeline(**arguments, output_type="pt").images[0]
    return image


def _verified(choice: Choice, guidance: float, model: str = _MODEL) -> Tensor:
    """The image of a verification, (3, H, W)."""
    loaded = _loaded(model)
    defaults, sample = loaded.defaults, Sample("owl", 5)
    settings = Settings(
        samples=(sample,),
        negative_prompt="",
        num_inference_steps=_STEPS,
        guidance_scale=guidance,
        height=defaults.height,
        width=defaults.width,
        max_sequence_length=defaults.max_sequence_length,
    )
    renderer = Renderer(loaded.pipeline, settings, lambda: None)
    (rendered,) = renderer.render(
        1,
        lambda layout: jointly_quantized(
            renderer.transformer,
            {fqn: parse_quant_type(x) for fqn, x in choice.of_layers.assignments.items()},
            layout,
            execution=Execution.SIMULATED,
            choice=choice,
            steps=_STEPS,
        ),
    )
    return rendered.images[0]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_benchmarks_image_is_that_of_the_verification(guidance: float) -> None:
    one_type = Choice.of_one(_FP8, _LAYERS)
    kept = one_type.replace(kept_steps=_KEPT)
    choices = (one_type, kept, _MIXED, _MIXED.replace(at_every_step=()))
    with exact_float32():
        images = [_benched(choice, guidance) for choice in choices]
        for choice, image in zip(choices, images, strict=True):
            torch.testing.assert_close(image, _verified(choice, guidance), atol=1e-5, rtol=0)
    for one, other in combinations(images, 2):
        assert float((one - other).abs().max()) > 1e-3


def test_so_is_one_with_attention_in_fp8() -> None:
    """Of the embedded model, whose heads fp8 takes."""
    choices = (_WITH_ATTENTION, _WITH_ATTENTION.replace(at_every_step=()))
    with exact_float32():
        images = [_benched(choice, 2.0, _EMBEDDED) for choice in choices]
        for choice, image in zip(choices, images, strict=True):
            expected = _verified(choice, 2.0, _EMBEDDED)
            torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)
    alone = _benched(_WITH_ATTENTION.of_layers, 2.0, _EMBEDDED)
    assert float((images[0] - alone).abs().max()) > 1e-3
    assert float((images[0] - images[1]).abs().max()) > 1e-3


class _Recorded:
    """A pipeline that keeps steps; which transformer ran is noted: t or q."""

    def __init__(self, kept: KeptSteps) -> None:
        self._pipeline, self.ran = _loaded().pipeline, ""
        transformer = self._pipeline.transformer
        kept_transformer = weight_sharing_copy(transformer)
        for name, module in (("q", transformer), ("t", kept_transformer)):
            module.transformer_blocks[0].register_forward_pre_hook(self._noting(name))
        keep_steps(self._pipeline, kept_transformer, kept)

    def _noting(self, name: str) -> Any:
        def note(*_: object) -> None:
            self.ran += name

        return note

    def image(self, steps: int, **options: Any) -> str:
        """Makes one, and tells what ran at its steps."""
        self.ran = ""
        call = {"prompt": "owl", "guidance_scale": 2.0, "max_sequence_length": 16} | options
        self._pipeline(
            num_inference_steps=steps,
            clean_caption=False,
            use_resolution_binning=False,
            output_type="latent",
            **call,
        )
        return self.ran

    def embeddings(self) -> dict[str, Any]:
        embeds, mask, negative, negative_mask = self._pipeline.encode_prompt(
            "owl", max_sequence_length=16
        )
        return {
            "prompt": None,
            "negative_prompt": None,
            "prompt_embeds": embeds,
            "prompt_attention_mask": mask,
            "negative_prompt_embeds": negative,
            "negative_prompt_attention_mask": negative_mask,
        }


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_each_image_is_counted_anew(guidance: float) -> None:
    recorded = _Recorded(KeptSteps(first=1, last=2))
    assert recorded.image(5, guidance_scale=guidance) == "tqqtt"
    assert recorded.image(5, guidance_scale=guidance) == "tqqtt"
    assert recorded.image(4, prompt="key", guidance_scale=3.0 - guidance) == "tqtt"


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_so_is_one_of_embeddings_that_were_used_before(guidance: float) -> None:
    recorded = _Recorded(KeptSteps(last=1))
    known = recorded.embeddings()
    made = [recorded.image(3, guidance_scale=guidance, **known) for _ in range(2)]
    assert made == ["qqt", "qqt"]


def test_and_the_one_after_an_image_that_was_given_up() -> None:
    recorded = _Recorded(KeptSteps(first=1))

    def give_up(step: int, *_: object) -> None:
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorded.image(4, callback=give_up, callback_steps=1)
    assert recorded.image(4) == "tqqq"


def test_a_call_too_many_is_refused() -> None:
    pipeline = _loaded().pipeline
    pipeline.scheduler.set_timesteps(2)
    call = KeptStepsCall(pipeline, lambda **_: "q", lambda **_: "t", KeptSteps(last=1))
    text = torch.zeros(1)
    assert [call(encoder_hidden_states=text) for _ in range(2)] == ["q", "t"]
    with pytest.raises(WorkError, match="cannot be counted"):
        call(encoder_hidden_states=text)
    assert call(encoder_hidden_states=torch.zeros(1)) == "q"


def _storages(module: nn.Module) -> set[int]:
    tensors = (getattr(x, "qdata", x) for x in (*module.parameters(), *module.buffers()))
    return {x.untyped_storage().data_ptr() for x in tensors}


@pytest.mark.parametrize("throughout", [(), _OF_STEPS[1:3]])
@pytest.mark.parametrize("execution", list(Execution))
def test_only_what_is_not_quantized_at_every_step_is_there_twice(
    execution: Execution, throughout: tuple[str, ...]
) -> None:
    transformer = _loaded().pipeline.transformer
    doubled = tuple(fqn for fqn in _OF_STEPS if fqn not in throughout)
    weights = [transformer.get_submodule(fqn).weight for fqn in doubled]
    before = _storages(transformer)
    kept_transformer = weight_sharing_copy(transformer)
    assert _storages(kept_transformer) == before
    quant_types = dict.fromkeys(_LAYERS, parse_quant_type("int8_dynamic"))
    quantize_layers(transformer, quant_types, execution=execution)
    share_layers(kept_transformer, transformer, (*_OF_TEXT, *throughout))
    alone = _storages(kept_transformer) - _storages(transformer)
    assert alone == {weight.untyped_storage().data_ptr() for weight in weights}
    for fqn in (*_OF_TEXT, *throughout):
        assert kept_transformer.get_submodule(fqn) is transformer.get_submodule(fqn)
    choice = Choice.of_one("int8_dynamic", _LAYERS, _KEPT)
    choice = choice.replace(at_every_step=throughout)
    assert Deployment(choice=choice).doubled_layers == doubled


@pytest.fixture
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("compiler", ["compile", "torch"])
def test_both_transformers_are_compiled(compiler: str) -> None:
    eager, compiled = _loaded(), _loaded()
    common: dict[str, Any] = {"choice": _MIXED_INT8}
    if compiler == "torch":
        # Its defaults try many kernels for each matrix product.
        common["compiler_config"] = json.dumps({"mode": "jit"})
    before = compiled.pipeline.transformer.state_dict().keys()
    for loaded, name in ((eager, "none"), (compiled, compiler)):
        deployment = Deployment.model_validate({"compiler": name, **common})
        deploy(loaded.pipeline, deployment, Execution.REAL, _CPU)
    regions = {region.name: region.found for region in compiled_regions(compiled.pipeline)}
    blocks = len(compiled.pipeline.transformer.transformer_blocks)
    assert regions["transformer blocks"] == blocks
    kept_transformer = compiled.pipeline.transformer.forward._kept_transformer
    assert all(
        block._compiled_call_impl is not None for block in kept_transformer.transformer_blocks
    )
    assert compiled.pipeline.transformer.state_dict().keys() == before
    images = [_image(loaded) for loaded in (eager, compiled)]
    # A rounding on the other side of an int8 code's edge changes pixels a little.
    torch.testing.assert_close(images[1], images[0], atol=2e-2, rtol=0)
