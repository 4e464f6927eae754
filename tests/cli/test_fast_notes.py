"""What the plain table says of a profile of the fast method; the figures are made up."""

from __future__ import annotations

import pytest

from pixart_tui.cli.display.tables import print_profile
from pixart_tui.domain.cost import Cost
from pixart_tui.domain.measurements import Comparison
from pixart_tui.domain.probing import ProbeRow, Probing, Stability
from pixart_tui.domain.profile import Profile
from tests.samples import conditions, layer, measurement

_LAYERS = ("transformer_blocks.0.ff.net.2", "transformer_blocks.1.ff.net.2")


def _profile(*, forks: bool = False) -> Profile:
    rows = tuple(ProbeRow(prompt=p, seed=0, step=1) for p in ("robot", "cat"))
    probing = Probing(
        rows=rows,
        anchor=1,
        gains=(0.1, 0.2),
        null=(0.0, 0.0),
        errors={_LAYERS[0]: (1e-3, 2e-3), _LAYERS[1]: (1e-3, 2e-3)},
        forwards=4.0,
    )
    return Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _LAYERS),
        excluded={},
        measurements=(measurement(_LAYERS[0], 0.999),),
        probing=probing,
        stability=Stability(
            forks=forks,
            expansion=5.0,
            worst_expansion=7.6,
            guidance_scale=4.5,
            stable_guidance_scale=2.2,
        ),
    )


def test_estimates_ties_and_cost_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    cost = Cost(forwards=100.0, exhaustive_forwards=1050.0, elapsed_s=1.0, exhaustive_s=9.0)
    print_profile(_profile(), cost)
    shown = capsys.readouterr().out
    assert "~ estimated, not imaged: 2 of 2 layers" in shown
    assert "= ranks that cannot be told apart: 2 layers" in shown
    assert "cost: 1/10.5 of exhaustive (100 of 1050 transformer calls)" in shown
    assert "1=" in shown
    assert "fork" not in shown


def test_forking_trajectories_are_said_with_what_would_be_stable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_profile(_profile(forks=True))
    shown = " ".join(capsys.readouterr().out.split())
    assert "! trajectories fork at guidance 4.5: errors grow up to 7.6-fold" in shown
    assert "stable: --guidance-scale 2.2" in shown


def test_a_prompt_that_forks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    losses = {"robot": 1e-3, "cat": 1e-3, "dog": 1e-3, "snowman": 4e-3}
    floor = tuple(
        Comparison(prompt=p, seed=0, finite=True, ssim=1 - x, psnr_db=40.0, latent_mse=1e-4)
        for p, x in losses.items()
    )
    print_profile(_profile().model_copy(update={"floor": floor}))
    shown = " ".join(capsys.readouterr().out.split())
    assert '! "snowman" forks: it outweighs the other prompts' in shown
