"""What the plain table says of a profile; the figures are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pixart_tui.cli.display.tables import print_profile
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.profiles.profile import Profile
from tests.adjoint_effects import sample_effects
from tests.samples import QUANT_TYPE, conditions, layer, measurement
from tests.tui import adjoint_runs

_LAYERS = ("transformer_blocks.0.ff.net.2", "transformer_blocks.1.ff.net.2")
_PROMPTS = ("robot", "cat", "[bold]owl[/bold]", ":smile:")
_LOOK = Look(samples=4, undecided={QUANT_TYPE: 2}, with_twice={QUANT_TYPE: 0}, outcome="spent")


def _adjoint(**update: object) -> Profile:
    losses = {QUANT_TYPE: [0.01, 0.009]}
    return Profile(
        conditions=conditions().replace(
            **({"method": "adjoint", "draws": 8, "prompts": _PROMPTS} | update)
        ),
        layers=tuple(layer(fqn) for fqn in _LAYERS),
        excluded={},
        measurements=(),
        effects=tuple(
            sample_effects(p, losses, in_range=p != _PROMPTS[2], level=30.0 if p == "cat" else 1.0)
            for p in _PROMPTS
        ),
    )


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_the_adjoint_method_says_how_it_measured_and_what_it_decided(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_profile(_adjoint(), _LOOK)
    shown = _shown(capsys)
    assert "adjoint, 8 draws, 4 samples" in shown
    assert "all 4 samples measured; 2 layers near the cut cannot be told apart" in shown
    assert "(none with twice as many samples)" in shown
    assert "= ranks that cannot be told apart: 2 layers" in shown
    assert "effect of all layers by step: " in shown
    assert "most at step 20 of 20 (" in shown
    assert "from step 11, %: " in shown
    assert "nonlinear part: " in shown
    assert "PSNR" not in shown


def test_samples_and_prompts_that_stand_out_are_named_as_they_were_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_profile(_adjoint(), _LOOK)
    shown = _shown(capsys)
    assert '! "[bold]owl[/bold]" (seed 0) is out of the linear range: the sum of' in shown
    assert '! "cat" diverges: it outweighs the other prompts, ranks are surer without' in shown


def test_calls_are_told_where_they_are_no_steps(capsys: pytest.CaptureFixture[str]) -> None:
    print_profile(_adjoint(num_calls=20, num_inference_steps=10))
    assert "most at call 20 of 20 (" in _shown(capsys)


def test_a_prompt_that_diverges_is_named_by_the_deployment_floor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    losses = {"robot": 1e-3, "cat": 1e-3, "dog": 1e-3, "snowman": 4e-3}
    profile = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _LAYERS),
        excluded={},
        measurements=(measurement(_LAYERS[0], 0.999),),
        floor=tuple(
            Comparison(prompt=p, seed=0, finite=True, ssim=1 - x, psnr_db=40.0, latent_mse=1e-4)
            for p, x in losses.items()
        ),
    )
    print_profile(profile)
    shown = _shown(capsys)
    assert '! "snowman" diverges: it outweighs the other prompts' in shown
    assert "exhaustive, 1 image" in shown
    assert "PSNR" in shown


def test_a_run_of_several_quant_types_has_a_table_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = replace(adjoint_runs.small(QUANT_TYPE, adjoint_runs.INT8), seeds=1)
    profiles = adjoint_runs.snapshot(plan, 4).profiling.profiles
    for profile in profiles:
        print_profile(profile)
    shown = _shown(capsys)
    assert shown.count("adjoint, 8 draws, 4 samples") == 2
    assert f"{adjoint_runs.INT8} (simulated)" in shown
