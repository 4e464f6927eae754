from __future__ import annotations

import json

import torch

from pixart_tui.engine.compilers.inductor import apply_compiler, compile_plan
from pixart_tui.engine.loading import LoadedPipeline

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda")


def _is_compiled(module: torch.nn.Module) -> bool:
    return module._compiled_call_impl is not None


def test_none_compiles_nothing() -> None:
    assert compile_plan("none", _CPU) is None
    assert compile_plan("none", _CUDA) is None


def test_the_modes_are_those_of_onediff() -> None:
    for device in (_CPU, _CUDA):
        plain, tuned = compile_plan("compile", device), compile_plan("compile-max-autotune", device)
        assert plain is not None
        assert tuned is not None
        assert (plain.mode, tuned.mode) == (None, "max-autotune")
        assert json.loads(tuned.to_json())["mode"] == "max-autotune"


def test_a_cpu_compiles_blocks_and_keeps_every_name(tiny: LoadedPipeline) -> None:
    transformer = tiny.pipeline.transformer
    names = list(transformer.state_dict())
    plan = compile_plan("compile", _CPU)
    assert plan is not None
    apply_compiler(tiny.pipeline, plan)
    assert all(_is_compiled(block) for block in transformer.transformer_blocks)
    assert not _is_compiled(transformer)
    assert not _is_compiled(tiny.pipeline.vae.decoder)
    assert list(transformer.state_dict()) == names
    assert transformer.pos_embed(torch.zeros(1, 4, 8, 8)).is_contiguous()


def test_cuda_compiles_the_whole_transformer_and_the_decoder(tiny: LoadedPipeline) -> None:
    plan = compile_plan("compile-max-autotune", _CUDA)
    assert plan is not None
    apply_compiler(tiny.pipeline, plan)
    assert _is_compiled(tiny.pipeline.transformer)
    assert _is_compiled(tiny.pipeline.vae.decoder)
    assert not any(_is_compiled(block) for block in tiny.pipeline.transformer.transformer_blocks)
