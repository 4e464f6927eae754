"""The fused transformer against the stock one, on a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_rules import HOPPER
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.engine.fused import fuse_transformer
from pixart_tui.engine.fused.graphs import GraphPool
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.attention_swap import attention_in_fp8
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.reference import quantize

gpu = pytest.mark.gpu
_TOKENS = 20


@pytest.fixture
def stock() -> Any:
    cuda = torch.device("cuda")
    return load_pipeline("pixart-emoji", dtype=torch.bfloat16, device=cuda).pipeline.transformer


def _inputs(side: int = 16, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator("cuda").manual_seed(seed)
    mask = torch.ones(2, _TOKENS, dtype=torch.int64, device="cuda")
    mask[0, 1:] = 0
    return {
        "hidden_states": torch.randn(
            2, 4, side, side, generator=generator, device="cuda"
        ).bfloat16(),
        "encoder_hidden_states": torch.randn(
            2, _TOKENS, 256, generator=generator, device="cuda"
        ).bfloat16(),
        "encoder_attention_mask": mask,
        "timestep": torch.tensor([500, 500], device="cuda"),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        "return_dict": False,
    }


@torch.no_grad()
def _run(transformer: Callable[..., tuple[Tensor]], **changes: Any) -> Tensor:
    return transformer(**_inputs(**changes))[0]


def _error(found: Tensor, reference: Tensor) -> float:
    return float((found.double() - reference.double()).norm() / reference.double().norm())


def _block_linears(transformer: nn.Module) -> list[str]:
    linears = (n for n, m in transformer.named_modules() if isinstance(m, nn.Linear))
    return [name for name in linears if name.startswith("transformer_blocks")]


def test_a_cpu_is_refused() -> None:
    pipeline = load_pipeline(
        "pixart-emoji", dtype=torch.float32, device=torch.device("cpu")
    ).pipeline
    with pytest.raises(RequestError, match="CUDA"):
        fuse_transformer(pipeline.transformer, pool=None)


@gpu
@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_its_error_is_that_of_eager_bfloat16(stock: Any, cuda_graphs: bool) -> None:
    fused = copy.deepcopy(stock)
    fuse_transformer(fused, pool=GraphPool() if cuda_graphs else None)
    exact = copy.deepcopy(stock).double()
    errors: dict[str, list[float]] = {"stock": [], "fused": []}
    for seed in range(8):
        inputs = _inputs(seed=seed)
        doubled = {
            k: v.double() if getattr(v, "is_floating_point", bool)() else v
            for k, v in inputs.items()
        }
        with torch.no_grad():
            reference = exact(**doubled)[0]
        errors["stock"].append(_error(_run(stock, seed=seed), reference))
        errors["fused"].append(_error(_run(fused, seed=seed), reference))
    assert sum(errors["fused"]) <= 1.1 * sum(errors["stock"])


@gpu
@pytest.mark.parametrize(
    "name", ["fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor", "int8_dynamic"]
)
def test_each_quantized_linear_follows_its_reference(stock: Any, name: str) -> None:
    from pixart_tui.engine.fused.linears import LinearGroup
    from pixart_tui.engine.kernels.rows import pass_rows

    quant_type = parse_quant_type(name)
    attention = stock.transformer_blocks[3].attn1
    linears = [attention.to_q, attention.to_k, attention.to_v]
    weights = [linear.weight.detach().clone() for linear in linears]
    names = [f"transformer_blocks.3.attn1.to_{x}" for x in "qkv"]
    quantize_layers(stock, dict.fromkeys(names, quant_type), execution=Execution.REAL)
    x = torch.randn(300, 256, device="cuda").bfloat16()
    group = LinearGroup(linears)
    found = group(pass_rows(x, group.wanted, tokens=300)[1])
    rows = _exact(x, quant_type)
    for output, weight, linear in zip(found, weights, linears, strict=True):
        expected = rows @ _exact(weight, quant_type).t() + linear.bias.double()
        # One rounding to bfloat16 (2**-9 at most, about 1.1e-3 on average), and the fp8 products'
        # shortened sums.
        assert _error(output, expected) < 2.5e-3


def _exact(tensor: Tensor, quant_type: QuantType) -> Tensor:
    """What the codes of a tensor stand for, nothing rounded."""
    quantized = quantize(tensor, quant_type.weight, quant_type.granularity)
    return quantized.values.double() * quantized.scale.double()


@gpu
@pytest.mark.parametrize("kept", [0, 7])
def test_scattered_selections_run_as_torchao_runs_them(stock: Any, kept: int) -> None:
    names = _block_linears(stock)
    chosen = [name for i, name in enumerate(names) if not kept or i % kept]
    quant_type = parse_quant_type("fp8_e4m3_e4m3_dynamic")
    quantize_layers(stock, dict.fromkeys(chosen, quant_type), execution=Execution.REAL)
    before = [_run(stock, seed=seed) for seed in range(4)]
    fuse_transformer(stock, pool=GraphPool())
    after = [_run(stock, seed=seed) for seed in range(4)]
    exact = load_pipeline("pixart-emoji", dtype=torch.float32, device=torch.device("cuda"))
    for seed in range(4):
        inputs = {
            k: v.float() if getattr(v, "is_floating_point", bool)() else v
            for k, v in _inputs(seed=seed).items()
        }
        with torch.no_grad():
            reference = exact.pipeline.transformer(**inputs)[0]
        assert _error(after[seed], reference) < 1.2 * _error(before[seed], reference)


@gpu
def test_replays_follow_new_inputs_shapes_and_prompts(stock: Any) -> None:
    eager, graphed = copy.deepcopy(stock), copy.deepcopy(stock)
    fuse_transformer(eager, pool=None)
    fuse_transformer(graphed, pool=GraphPool())
    for side, seed in ((16, 0), (24, 1), (16, 2), (24, 3), (16, 0)):
        found = _run(graphed, side=side, seed=seed)
        assert torch.equal(found, _run(eager, side=side, seed=seed))


@gpu
def test_a_thousand_inputs_give_no_nan(stock: Any) -> None:
    names = [n for n in _block_linears(stock) if "attn2.to_k" not in n]
    quant_type = parse_quant_type("fp8_e4m3_e4m3_dynamic")
    quantize_layers(stock, dict.fromkeys(names, quant_type), execution=Execution.REAL)
    fuse_transformer(stock, pool=GraphPool())
    finite = torch.ones((), dtype=torch.bool, device="cuda")
    inputs = _inputs()
    for seed in range(1000):
        generator = torch.Generator("cuda").manual_seed(seed)
        scale = 10.0 ** (seed % 5 - 2)
        shape = inputs["hidden_states"].shape
        noise = torch.randn(shape, generator=generator, device="cuda") * scale
        inputs["hidden_states"] = noise.bfloat16()
        with torch.no_grad():
            finite &= stock(**inputs)[0].isfinite().all()
    assert bool(finite)


@gpu
def test_parameters_keep_their_names_and_values(stock: Any) -> None:
    before = {name: x.clone() for name, x in stock.state_dict().items()}
    fuse_transformer(stock, pool=None)
    after = stock.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@gpu
@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability() != HOPPER,
    reason="needs compute capability 9.0",
)
def test_attention_runs_in_fp8_in_the_blocks_that_are_named(stock: Any) -> None:
    names = [f"transformer_blocks.{i}.attn1" for i in range(len(stock.transformer_blocks))]

    def fused(fp8_attention: bool | list[str]) -> Tensor:
        made = copy.deepcopy(stock)
        fuse_transformer(made, pool=None, fp8_attention=fp8_attention)
        return _run(made)

    assert torch.equal(fused(names), fused(True))
    assert torch.equal(fused([]), fused(False))
    some = fused(names[:1])
    assert not torch.equal(some, fused(False))
    # The same block by the reference of its numerics, in the model that diffusers runs.
    with attention_in_fp8(stock, names[:1]):
        simulated = _run(stock)
    assert _error(some, simulated) < _error(fused(True), simulated)
