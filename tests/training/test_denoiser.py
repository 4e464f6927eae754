"""What of the two networks is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from training.architecture import build_text_encoder, build_transformer
from training.denoiser import Denoiser, compile_loss, denoiser_loss


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., Any]]:
    """What was handed to the compiler, which gives it back as it is."""
    handed: list[Callable[..., Any]] = []

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        handed.append(function)
        return function

    monkeypatch.setattr(torch, "compile", record)
    return handed


def tiny() -> Denoiser:
    return Denoiser(build_text_encoder(10), build_transformer(blocks=3, heads=1, head_dim=8))


def test_each_block_is_compiled_in_place_of_the_whole_loss(
    compiled: list[Callable[..., Any]],
) -> None:
    model = tiny()
    names = list(model.state_dict())
    assert compile_loss(model, blocks=True) is denoiser_loss
    assert compiled == [block._call_impl for block in model.transformer.transformer_blocks]
    assert list(model.state_dict()) == names


def test_else_the_whole_loss_is_compiled(compiled: list[Callable[..., Any]]) -> None:
    assert compile_loss(tiny(), blocks=False) is denoiser_loss
    assert compiled == [denoiser_loss]
