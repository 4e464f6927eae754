from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from torch import nn

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.engine.layers import list_attention, list_layers
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sampling import denoise, encode_prompts, initial_latents

TERA = 1e12


def _published(family: str, text_tokens: int) -> tuple[Layer, ...]:
    meta = torch.device("meta")
    loaded = load_pipeline(f"synthetic:{family}", dtype=torch.bfloat16, device=meta)
    return list_layers(loaded.pipeline, height=1024, width=1024, text_tokens=text_tokens)


def _tflop_by_kind(layers: tuple[Layer, ...]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for layer in layers:
        sums[layer.kind] += layer.flops / TERA
    return sums


def test_flops_of_alpha_at_1024_are_the_known_ones() -> None:
    layers = _published("alpha", 120)
    sums = _tflop_by_kind(layers)
    parts = {
        "qkv": sum(sums[f"attn1.to_{x}"] for x in "qkv"),
        "out": sums["attn1.to_out.0"],
        "cross": sums["attn2.to_q"] + sums["attn2.to_out.0"],
        "ffn": sums["ff.net.0.proj"] + sums["ff.net.2"],
    }
    assert parts == pytest.approx({"qkv": 1.83, "out": 0.61, "cross": 1.22, "ffn": 4.87}, abs=0.005)
    assert sum(parts.values()) == pytest.approx(8.52, abs=0.005)
    assert len(layers) == 290


def test_only_the_text_rows_follow_the_prompt_length() -> None:
    short, long = _published("sigma", 120), _published("sigma", 300)
    changed = {a.kind for a, b in zip(short, long, strict=True) if a.rows != b.rows}
    assert changed == {
        "attn2.to_k",
        "attn2.to_v",
        "caption_projection.linear_1",
        "caption_projection.linear_2",
    }
    assert {x.rows for x in long if x.kind in changed} == {2 * 300}
    assert len(long) == 286


def test_rows_are_those_that_a_real_step_multiplies() -> None:
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
    pipeline, seen = loaded.pipeline, dict[str, int]()

    def watch(name: str, module: nn.Linear) -> None:
        module.register_forward_pre_hook(
            lambda _, inputs: seen.update({name: inputs[0].shape[:-1].numel()})
        )

    for name, module in pipeline.transformer.named_modules():
        if isinstance(module, nn.Linear):
            watch(name, module)
    denoise(
        pipeline,
        encode_prompts(pipeline, ["a cat"], "", 16),
        initial_latents(pipeline, [0], 48, 80),
        seeds=[0],
        num_inference_steps=1,
        guidance_scale=4.5,
        height=48,
        width=80,
    )
    layers = list_layers(pipeline, height=48, width=80, text_tokens=16)
    assert {x.fqn: x.rows for x in layers} == seen


def test_without_guidance_there_are_half_the_rows() -> None:
    meta = torch.device("meta")
    pipeline = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=meta).pipeline
    guided = list_layers(pipeline, height=64, width=64, text_tokens=16)
    plain = list_layers(pipeline, height=64, width=64, text_tokens=16, guidance=False)
    assert [x.rows for x in guided] == [2 * x.rows for x in plain]


def test_the_layers_are_those_of_the_unquantized_model() -> None:
    loaded = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=torch.device("cpu"))
    transformer = loaded.pipeline.transformer
    before = list_layers(loaded.pipeline, height=64, width=64, text_tokens=16)
    expected = [n for n, m in transformer.named_modules() if isinstance(m, nn.Linear)]
    assert [x.fqn for x in before] == expected
    for layer in before:
        module = transformer.get_submodule(layer.fqn)
        assert (layer.in_features, layer.out_features) == (module.in_features, module.out_features)
        assert layer.has_bias == (module.bias is not None)
    transformer.transformer_blocks[0].attn1.to_q = nn.Identity()
    assert list_layers(loaded.pipeline, height=64, width=64, text_tokens=16) == before


def test_attention_multiplies_queries_with_keys_and_probabilities_with_values() -> None:
    layers = _published("sigma", 300)
    attention = list_attention(layers, heads=16)
    assert [x.fqn for x in attention] == [f"transformer_blocks.{i}.attn1" for i in range(28)]
    # 4 B H S S D: two images of the guidance, 16 heads of 72 channels, 4096 tokens.
    assert {x.flops for x in attention} == {4 * 2 * 16 * 4096 * 4096 * 72}
    assert {x.heads for x in attention} == {16}
    assert {(x.operation, x.block is None) for x in attention} == {("attention", False)}
    assert list_attention(layers, heads=16, guidance=False)[0].in_features == 2 * 4096
