"""What the command line of the training asks for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from training.architecture import DEFAULT_CALL
from training.denoiser import Recipe
from training.options import parse, recipe
from training.sampling import DEFAULT_MODEL
from training.schedule import Budget


def test_without_options_it_is_what_made_the_embedded_model() -> None:
    options = parse([])
    assert recipe(options) == Recipe(1024, 1.2e-3, 0.9995, Budget(seconds=375))
    assert (options.blocks, options.heads, options.head_dim) == (8, 4, 64)
    assert options.guidance_scale == DEFAULT_CALL["guidance_scale"]
    assert options.vae_from is options.text_from is None


def test_the_published_shape_brings_its_recipe_and_the_embedded_parts() -> None:
    options = parse(["--published-shape"])
    assert recipe(options) == Recipe(256, 2e-4, 0.998, Budget(steps=1700), compile_blocks=True)
    assert (options.blocks, options.heads, options.head_dim) == (28, 16, 72)
    assert options.guidance_scale == 4.5
    assert options.vae_from == options.text_from == DEFAULT_MODEL


def test_what_the_command_line_says_goes_before_the_published_shape() -> None:
    options = parse(["--steps", "2400", "--published-shape", "--batch=2", "--output", "elsewhere"])
    assert recipe(options).budget == Budget(steps=2400)
    assert recipe(options).batch == 2
    assert options.output == Path("elsewhere")
    assert options.blocks == 28


@pytest.mark.parametrize(
    ("arguments", "budget"),
    [
        (["--denoiser-seconds", "190"], Budget(seconds=190)),
        (["--denoiser-seconds", "0"], Budget(seconds=0)),
        (["--steps", "7"], Budget(math.inf, 7)),
        (["--steps", "7", "--denoiser-seconds", "190"], Budget(190, 7)),
    ],
)
def test_steps_take_the_place_of_seconds_or_are_limited_by_them(
    arguments: list[str], budget: Budget
) -> None:
    assert recipe(parse(arguments)).budget == budget
