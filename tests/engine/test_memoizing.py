from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import CancelledError
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sampling import (
    Conditioning,
    denoise,
    encode_prompts,
    initial_latents,
    memoized_conditioning,
)

STEPS, SIDE, TOKENS = 3, 64, 16
FAMILIES = ("alpha", "sigma")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    # The models are so small that a second thread costs more than it brings.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _pipeline(family: str) -> Any:
    device = torch.device("cpu")
    return load_pipeline(f"synthetic:{family}-tiny", dtype=torch.float32, device=device).pipeline


def _encode(pipeline: Any, *prompts: str) -> Conditioning:
    return encode_prompts(pipeline, prompts, "blurry", TOKENS)


def _draw(
    pipeline: Any, conditioning: Conditioning, latents: Tensor, guidance: float = 4.5
) -> Tensor:
    return denoise(
        pipeline,
        conditioning,
        latents,
        seeds=[0] * len(latents),
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        height=SIDE,
        width=SIDE,
    )


class _Counting(nn.Module):
    """A module that stands in for a linear, as a quantized one does, and counts its calls."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.calls = 0

    def forward(self, value: Tensor) -> Tensor:
        self.calls += 1
        result: Tensor = self.inner(value)
        return result


def _count_calls(transformer: Any) -> list[_Counting]:
    counting = []
    for owner, name in (
        (transformer, "caption_projection"),
        *(
            (block.attn2, name)
            for block in transformer.transformer_blocks
            for name in ("to_k", "to_v")
        ),
    ):
        counting.append(_Counting(getattr(owner, name)))
        setattr(owner, name, counting[-1])
    return counting


@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_memoizing_changes_no_bit_and_computes_once(family: str, guidance: float) -> None:
    pipeline = _pipeline(family)
    conditioning = _encode(pipeline, "a fox", "two apples")
    noise = initial_latents(pipeline, [1, 2], SIDE, SIDE)
    plain = _draw(pipeline, conditioning, noise, guidance)
    counting = _count_calls(pipeline.transformer)
    with memoized_conditioning(pipeline.transformer):
        memoized = _draw(pipeline, conditioning, noise, guidance)
        again = _draw(pipeline, conditioning, noise, guidance)
    assert torch.equal(memoized, plain)
    assert torch.equal(again, plain)
    assert [module.calls for module in counting] == [1] * 5


def test_memoizing_tells_inputs_apart() -> None:
    pipeline = _pipeline("sigma")
    noise = initial_latents(pipeline, [1], SIDE, SIDE)
    # More prompts than are remembered, and each a second time.
    prompts = [_encode(pipeline, f"fox number {n}") for n in range(6)] * 2
    plain = [_draw(pipeline, prompt, noise) for prompt in prompts]
    with memoized_conditioning(pipeline.transformer):
        memoized = [_draw(pipeline, prompt, noise) for prompt in prompts]
    assert all(torch.equal(a, b) for a, b in zip(plain, memoized, strict=True))


@torch.no_grad()
def test_memoizing_sees_an_input_change_in_place() -> None:
    transformer = _pipeline("sigma").transformer
    key = transformer.transformer_blocks[0].attn2.to_k
    value = torch.ones(1, 4, 32)
    with memoized_conditioning(transformer):
        before = key(value).clone()
        value.mul_(2)
        assert torch.equal(key(value), key.__class__.forward(key, value))
        assert not torch.equal(key(value), before)


def test_memoizing_trusts_no_tensor_without_a_version() -> None:
    transformer = _pipeline("sigma").transformer
    key = transformer.transformer_blocks[0].attn2.to_k
    with torch.inference_mode(), memoized_conditioning(transformer):
        value = torch.ones(1, 4, 32)
        before = key(value).clone()
        value.mul_(2)
        assert not torch.equal(key(value), before)


def test_memoizing_puts_everything_back() -> None:
    transformer = _pipeline("sigma").transformer
    own = transformer.transformer_blocks[1].attn2.to_v
    override = own.forward
    own.forward = override

    def cancel_inside() -> None:
        with memoized_conditioning(transformer):
            assert own.forward is not override
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        cancel_inside()
    assert own.forward is override
    overridden = [name for name, m in transformer.named_modules() if "forward" in vars(m)]
    assert overridden == ["transformer_blocks.1.attn2.to_v"]


@torch.no_grad()
def test_memoizing_is_not_fooled_by_a_recycled_address() -> None:
    transformer = _pipeline("sigma").transformer
    key = transformer.transformer_blocks[0].attn2.to_k
    with memoized_conditioning(transformer):
        for number in range(64):
            value = torch.full((64, 128, 32), float(number))
            assert torch.equal(key(value), key.__class__.forward(key, value))
            del value
