from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import CallDefaults, load_pipeline
from tests.engine.loading.conftest import CPU, load

META = torch.device("meta")


@pytest.mark.parametrize(
    ("family", "linears", "tokens"), [("alpha", 290, 120), ("sigma", 286, 300)]
)
def test_published_shapes(family: str, linears: int, tokens: int) -> None:
    loaded = load_pipeline(f"synthetic:{family}", dtype=torch.bfloat16, device=META)
    transformer, text_encoder = loaded.pipeline.transformer, loaded.pipeline.text_encoder
    assert loaded.defaults == CallDefaults(20, 4.5, 1024, 1024, tokens)
    assert sum(isinstance(m, torch.nn.Linear) for m in transformer.modules()) == linears
    assert transformer.inner_dim == 1152
    assert len(transformer.transformer_blocks) == 28
    assert 4.7e9 < sum(p.numel() for p in text_encoder.parameters()) < 4.8e9
    assert {p.dtype for p in text_encoder.parameters()} == {torch.bfloat16}
    assert loaded.pipeline.vae.config.scaling_factor == (0.18215 if family == "alpha" else 0.13025)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["alpha", "sigma"])
def test_a_tiny_pipeline_draws_finite_images(family: str, dtype: torch.dtype) -> None:
    loaded = load(f"synthetic:{family}-tiny", dtype)
    images = loaded.pipeline(
        "two cats, watching the snow",
        num_inference_steps=3,
        height=64,
        width=64,
        use_resolution_binning=False,
        clean_caption=False,
        max_sequence_length=32,
        output_type="pt",
    ).images
    assert images.shape == (1, 3, 64, 64)
    assert images.isfinite().all()
    assert images.float().std() > 0.01


def test_prompts_are_told_apart() -> None:
    encode = load("synthetic:alpha-tiny").pipeline.encode_prompt
    cat, *_ = encode("a cat", clean_caption=False, max_sequence_length=16)
    dog, *_ = encode("a dog", clean_caption=False, max_sequence_length=16)
    assert not torch.allclose(cat, dog)


def test_attention_to_the_text_is_not_settled_by_rounding() -> None:
    """T5 scales no scores: queries drawn like keys would let softmax pick single tokens."""
    attention = load("synthetic:alpha-tiny").pipeline.text_encoder.encoder.block[0].layer[0]
    x = torch.randn(1, 12, 40, generator=torch.Generator().manual_seed(0))
    q, k = (getattr(attention.SelfAttention, name)(x).view(12, 4, 8) for name in "qk")
    weights = torch.einsum("ihd,jhd->hij", q, k).softmax(-1)
    assert weights.amax(-1).mean() < 0.5


def test_weights_and_fingerprint_repeat() -> None:
    first, second = load("synthetic:alpha-tiny"), load("synthetic:alpha-tiny", torch.bfloat16)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != load("synthetic:sigma-tiny").fingerprint
    low = second.pipeline.transformer.state_dict()
    for key, tensor in first.pipeline.transformer.state_dict().items():
        assert torch.equal(tensor.bfloat16(), low[key]), key


def test_the_tiny_alpha_has_a_linear_that_kernels_exclude() -> None:
    layers = list_layers(load("synthetic:alpha-tiny").pipeline, height=64, width=64, text_tokens=16)
    odd = [x.fqn for x in layers if x.in_features % 16 or x.out_features % 16]
    assert odd == ["caption_projection.linear_1"]
    assert len(layers) == 30


def test_an_unknown_synthetic_model_is_told() -> None:
    with pytest.raises(RequestError) as caught:
        load_pipeline("synthetic:beta", dtype=torch.float32, device=CPU)
    assert "synthetic:beta" in caught.value.title
    assert "synthetic:sigma-tiny" in caught.value.next_step
