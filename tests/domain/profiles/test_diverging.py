from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.domain.profiles.diverging import diverging_prompts
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.runs.results.profile_files import read_profile_file

_PROFILES = Path(__file__).parents[3] / "benchmarks/results/method/profiles"


def _comparison(prompt: str, loss: float, seed: int = 0) -> Comparison:
    return Comparison(
        prompt=prompt, seed=seed, finite=True, ssim=1 - loss, psnr_db=40.0, latent_mse=1e-4
    )


@pytest.mark.parametrize(
    ("profile", "diverging"),
    [("wide-h100-16x2", ("snowman",)), ("h100-16x2", ())],
)
def test_what_diverges_in_measured_profiles(profile: str, diverging: tuple[str, ...]) -> None:
    measured = read_profile_file(_PROFILES / profile / "fp8_e4m3.json")
    assert diverging_prompts(measured.floor) == diverging


def test_the_worst_comes_first_and_seeds_are_averaged() -> None:
    usual = [_comparison(name, 1e-3, seed) for name in "abcde" for seed in (0, 1)]
    worse = [_comparison("f", 4e-3), _comparison("g", 1e-3), _comparison("g", 19e-3, 1)]
    assert diverging_prompts([*usual, *worse]) == ("g", "f")


def test_three_prompts_say_nothing() -> None:
    few = [_comparison("a", 1e-3), _comparison("b", 1e-3), _comparison("c", 1.0)]
    assert diverging_prompts(few) == ()
    assert diverging_prompts([]) == ()
