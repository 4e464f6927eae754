from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixart_tui.domain.deploying.compiler_config import MODES, CompilerConfig
from pixart_tui.engine.compilers.torch_plan import TorchPlan, torch_plan

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda")
_BEST = "max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs"


def _plan(mode: str, device: torch.device = _CUDA, dynamic: bool = False) -> TorchPlan:
    return torch_plan(CompilerConfig(tuple(mode.split(":")), dynamic=dynamic), device)


def _said(plan: TorchPlan) -> str:
    return "\n".join(plan.notes)


@pytest.mark.parametrize(
    ("mode", "transformer", "backend", "cuda_graphs"),
    [
        ("default", "fused", "inductor", "none"),
        ("max-optimize:max-autotune:low-precision", "fused", "inductor", "none"),
        (_BEST, "fused", "inductor", "own"),
        ("jit:disable-runtime-fusion", "blocks", "inductor", "none"),
        ("jit:cudagraphs", "blocks", "inductor", "none"),
        ("inductor-cudagraphs", "whole", "inductor", "inductor"),
        ("cpp-wrapper", "whole", "inductor", "none"),
        ("cpp-wrapper:cudagraphs", "whole", "inductor", "inductor"),
        ("disable-inductor", "blocks", "aot_eager", "none"),
        ("jit:inductor-cudagraphs", "blocks", "inductor", "none"),
    ],
)
def test_who_runs_the_transformer_on_cuda(
    mode: str, transformer: str, backend: str, cuda_graphs: str
) -> None:
    plan = _plan(mode)
    assert (plan.transformer, plan.backend, plan.cuda_graphs) == (
        transformer,
        backend,
        cuda_graphs,
    )


def test_global_flags_stand_in_the_plan() -> None:
    assert _plan("default").flags == {}
    assert _plan("benchmark").flags == {"cudnn.benchmark": True}
    assert _plan("low-precision").flags == {
        "cuda.matmul.allow_tf32": True,
        "cuda.matmul.allow_fp16_reduced_precision_reduction": True,
        "cuda.matmul.allow_bf16_reduced_precision_reduction": True,
        "cudnn.allow_tf32": True,
    }
    assert _plan("low-precision:benchmark", _CPU).flags == {}


@pytest.mark.parametrize(
    "mode",
    [
        "max-optimize",
        "cudagraphs",
        "inductor-cudagraphs",
        "low-precision",
        "benchmark",
        "fast-accum",
        "quant",
    ],
)
def test_a_cpu_says_what_has_no_effect(mode: str) -> None:
    plan, plain = _plan(mode, _CPU), _plan("default", _CPU)
    assert f"{mode} has no effect on a CPU" in _said(plan)
    assert plan.cuda_graphs == "none"
    assert (plan.transformer, plan.fast_accum, plan.flags) == (
        plain.transformer,
        plain.fast_accum,
        plain.flags,
    )


@given(st.lists(st.sampled_from(sorted(MODES)), min_size=1, max_size=5), st.booleans())
def test_a_cpu_never_gets_what_only_a_gpu_has(modes: list[str], dynamic: bool) -> None:
    plan = _plan(":".join(modes), _CPU, dynamic)
    assert plan.transformer == "blocks"
    assert not any(name.startswith("triton.") for name in plan.options)
    assert not {"use_fast_math", "coordinate_descent_tuning"} & plan.options.keys()


@settings(deadline=None)  # torch.compile imports Inductor at the first call
@given(st.lists(st.sampled_from(sorted(MODES)), min_size=1, max_size=5), st.booleans())
def test_every_option_is_one_that_this_torch_has(modes: list[str], dynamic: bool) -> None:
    plan = _plan(":".join(modes), _CUDA, dynamic)
    # Raises on an option or a type that Inductor does not know; compiles nothing.
    if plan.backend == "inductor":
        torch.compile(torch.nn.Identity(), options=dict(plan.options))
    else:
        assert not plan.options
    json.loads(plan.to_json())


@given(st.lists(st.sampled_from(sorted(MODES)), min_size=1, max_size=5), st.booleans())
def test_graphs_that_were_asked_for_and_are_not_captured_are_told(
    modes: list[str], dynamic: bool
) -> None:
    plan = _plan(":".join(modes), _CUDA, dynamic)
    if {"cudagraphs", "inductor-cudagraphs"} & set(modes) and plan.cuda_graphs == "none":
        assert "CUDA graphs have no effect" in _said(plan)


def test_one_compilation_for_every_size_means_blocks() -> None:
    plan = _plan("cpp-wrapper", dynamic=True)
    assert plan.transformer == "blocks"
    assert "dynamic: the transformer is compiled by blocks" in _said(plan)
    assert _plan("jit", dynamic=True).notes == ()


def test_dynamic_says_that_own_graphs_are_captured_for_each_size() -> None:
    assert "each image size is captured once" in _said(_plan("cudagraphs", dynamic=True))


def test_freezing_says_where_it_acts() -> None:
    assert "freezing has no effect" in _said(_plan("freezing"))
    assert "the VAE decoder alone" in _said(_plan("freezing:jit"))
    assert "the VAE decoder alone" in _said(_plan("freezing", _CPU))
    assert "transformer and VAE decoder" in _said(_plan("freezing:cpp-wrapper"))
    none = _plan("freezing:disable-inductor")
    assert not none.freezing
    assert "freezing has no effect" in _said(none)


def test_our_kernels_decode_too_and_say_so() -> None:
    fused, compiled = _plan("max-autotune"), _plan("max-autotune:jit")
    assert (fused.vae_decoder, compiled.vae_decoder) == ("fused", "whole")
    assert "max_autotune act on the text encoder alone" in _said(fused)
    other = torch_plan(CompilerConfig(memory_format="contiguous_format"), _CUDA)
    assert "want the VAE in channels_last" in _said(other)


def test_options_that_aot_eager_does_not_take_are_told() -> None:
    plan = _plan("disable-inductor:max-autotune")
    assert plan.options == {}
    assert "max_autotune have no effect" in _said(plan)


def test_the_plan_shows_everything() -> None:
    shown = json.loads(_plan("jit:benchmark").to_json())
    assert shown["mode"] == "jit:benchmark"
    assert shown["flags"] == {"cudnn.benchmark": True}
    assert shown["transformer"] == "blocks"
    assert shown["memory_format"] == "channels_last"
