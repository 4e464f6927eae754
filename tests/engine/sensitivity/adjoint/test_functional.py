"""Random functionals against torchmetrics' SSIM in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from pixart_tui.engine.sensitivity.adjoint.functional import draw_generator, functional_gradients

_CPU: Final = torch.device("cpu")
_DRAWS: Final = 3000
_SHAPE: Final = (3, 24, 36)


def _generators(count: int) -> list[torch.Generator]:
    return [draw_generator("robot", 3, k, _CPU) for k in range(count)]


def _noise(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(_SHAPE, generator=generator, dtype=torch.float64)


def _photo() -> Tensor:
    """Flat, smooth and busy parts."""
    image = 0.2 + 0.5 * torch.linspace(0, 1, 36, dtype=torch.float64).expand(_SHAPE).clone()
    image[:, 8:16] = 0.3
    image[:, 16:] += 0.3 * (_noise(0)[:, 16:] - 0.5)
    return image


def _everywhere() -> Tensor:
    return _noise(1) - 0.5


def _inside() -> Tensor:
    change = torch.zeros(_SHAPE, dtype=torch.float64)
    change[:, 11:13, 11:25] = _everywhere()[:, 11:13, 11:25]
    return change


def _at_the_border() -> Tensor:
    change = _everywhere()
    change[:, 2:-2, 2:-2] = 0
    return change


def _in_the_corner() -> Tensor:
    change = torch.zeros(_SHAPE, dtype=torch.float64)
    change[:, 0, 0] = 1
    return change


def _in_the_far_corner() -> Tensor:
    change = torch.zeros(_SHAPE, dtype=torch.float64)
    change[:, -1, -1] = 1
    return change


def _brighter() -> Tensor:
    return torch.ones(_SHAPE, dtype=torch.float64)


def _one_channel() -> Tensor:
    change = torch.zeros(_SHAPE, dtype=torch.float64)
    change[1] = _noise(2)[1]
    return change


def _loss(image: Tensor, change: Tensor) -> float:
    found = structural_similarity_index_measure((image + change)[None], image[None], data_range=1.0)
    assert isinstance(found, Tensor)
    return 1 - float(found)


@pytest.mark.parametrize(
    "change",
    [
        _everywhere,
        _inside,
        _at_the_border,
        _in_the_corner,
        _in_the_far_corner,
        _brighter,
        _one_channel,
    ],
)
def test_the_mean_square_is_what_ssim_loses(change: Callable[[], Tensor]) -> None:
    image, small = _photo(), 1e-4 * change()
    gradients = functional_gradients(image, _generators(_DRAWS))
    squares = (gradients * small).flatten(1).sum(1).square()
    expected, found = _loss(image, small), float(squares.mean())
    error = float(squares.std()) / _DRAWS**0.5
    assert abs(found - expected) < 4 * error
    assert error < 0.06 * expected


def test_the_values_are_centered_and_differ_from_draw_to_draw() -> None:
    small = 1e-4 * _everywhere()
    gradients = functional_gradients(_photo(), _generators(_DRAWS))
    values = (gradients * small).flatten(1).sum(1)
    spread = float(values.std())
    assert abs(float(values.mean())) < 4 * spread / _DRAWS**0.5
    neighbors = float((values[:-1] * values[1:]).mean()) / spread**2
    assert abs(neighbors) < 4 / _DRAWS**0.5


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4))
def test_a_draw_is_the_same_whatever_else_is_drawn(draws: list[int]) -> None:
    image = _photo().float()
    alone = functional_gradients(image, [draw_generator("robot", 3, draws[-1], _CPU)])
    among = functional_gradients(image, [draw_generator("robot", 3, k, _CPU) for k in draws])
    assert among.dtype is torch.float32
    assert among.shape == (len(draws), *_SHAPE)
    assert torch.equal(among[-1], alone[0])


def test_prompts_seeds_and_draws_have_numbers_of_their_own() -> None:
    keys = [("robot", 3, 0), ("robot", 3, 1), ("robot", 0, 3), ("cat", 3, 0), ("", 3, 0)]
    keys += [("0\0robot", 3, 0), ("robot", 31, 0), ("1\0robot", 3, 0), ("robot", -3, 0)]
    drawn = {float(torch.rand(1, generator=draw_generator(*key, _CPU))) for key in keys}
    assert len(drawn) == len(keys)


def test_nobody_elses_random_numbers_are_touched() -> None:
    state = torch.get_rng_state()
    functional_gradients(_photo(), _generators(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_smallest_image_has_functionals() -> None:
    image = _photo()[:, :6, :7]
    gradients = functional_gradients(image, _generators(500))
    small = 1e-4 * _everywhere()[:, :6, :7]
    squares = (gradients * small).flatten(1).sum(1).square()
    # Where torchmetrics, which reflects a border of 5 pixels, takes the image too.
    assert float(squares.mean()) == pytest.approx(_loss(image, small), rel=0.3)
