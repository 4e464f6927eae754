from __future__ import annotations

import pytest
import torch
from torch._dynamo.utils import counters

from pixart_tui.domain.deploying.onediff_backends import NEXFORT_CONFIG
from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.compilers.inductor import CompilePlan
from pixart_tui.engine.compilers.onediff import OnediffPlan
from pixart_tui.engine.compilers.plans import apply_plan, our_plan_for, plan_for
from pixart_tui.engine.compilers.torch_plan import TorchPlan
from pixart_tui.engine.loading import LoadedPipeline
from tests.engine.compilers.calls import image_of, loaded_on

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda")


def test_each_name_has_its_plan() -> None:
    assert plan_for("none", "", _CUDA) is None
    assert isinstance(plan_for("compile", "", _CUDA), CompilePlan)
    ours = plan_for("torch", "", _CUDA)
    assert isinstance(ours, TorchPlan)
    assert ours.mode == "max-optimize:max-autotune:low-precision:cudagraphs"
    nexfort, oneflow = (plan_for(name, "", _CUDA) for name in ("nexfort", "oneflow"))
    assert nexfort == OnediffPlan("nexfort", NEXFORT_CONFIG)
    assert oneflow == OnediffPlan("oneflow")
    jit = plan_for("torch", '{"mode": "jit"}', _CUDA)
    assert isinstance(jit, TorchPlan)
    assert jit.transformer == "blocks"


def test_a_configuration_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match="no mode"):
        plan_for("torch", '{"mode": "fast"}', _CPU)


@pytest.mark.parametrize("compiler", ["none", "compile", "torch"])
def test_fp8_attention_is_refused_where_a_compiler_runs_the_transformer(
    tiny: LoadedPipeline, compiler: str
) -> None:
    plan = our_plan_for(compiler, "", _CPU)
    with pytest.raises(RequestError, match="fp8 attention needs our own kernels"):
        apply_plan(tiny.pipeline, plan, fp8_attention=True)
    assert tiny.pipeline.vae.decoder._compiled_call_impl is None


def test_fused_kernels_are_refused_on_a_cpu(tiny: LoadedPipeline) -> None:
    plan = our_plan_for("torch", '{"mode": "default"}', _CUDA)
    with pytest.raises(RequestError, match="need a CUDA device"):
        apply_plan(tiny.pipeline, plan)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "mode",
    [
        "jit",
        "jit:disable-runtime-fusion",
        "disable-inductor",
        "inductor-cudagraphs",
        "cpp-wrapper:freezing:benchmark:low-precision",
    ],
)
def test_what_compiles_the_transformer_on_cuda_draws_the_same_image(mode: str) -> None:
    torch._dynamo.reset()
    eager, ours = loaded_on(_CUDA), loaded_on(_CUDA)
    apply_plan(ours, our_plan_for("torch", f'{{"mode": "{mode}"}}', _CUDA))
    for height, width in ((96, 96), (64, 96)):
        expected = image_of(eager, height, width)
        for _ in range(2):
            error = (image_of(ours, height, width) - expected).abs().mean().item()
            assert error < 0.02


@pytest.mark.gpu
def test_jit_serves_every_size_on_cuda_with_the_graphs_of_the_first() -> None:
    torch._dynamo.reset()
    counters.clear()
    ours = loaded_on(_CUDA)
    apply_plan(ours, our_plan_for("torch", '{"mode": "jit", "dynamic": true}', _CUDA))
    image_of(ours, 96, 96)
    first = counters["stats"]["unique_graphs"]
    for height, width in ((64, 96), (96, 64), (96, 128)):
        image_of(ours, height, width)
    assert counters["stats"]["unique_graphs"] == first
