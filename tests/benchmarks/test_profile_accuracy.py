"""The benchmark of a profile against brute force, on the profiles of the repository."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pixart_tui
from benchmarks import profile_accuracy
from benchmarks.accuracy import Reference, on_other_prompts, on_the_same_images, spearman
from benchmarks.profile_agreement import read
from benchmarks.variants import Variants
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample, Settings, compare
from tests.samples import layer

torch = pytest.importorskip("torch")

_ROOT = Path(pixart_tui.__file__).parents[1]
_MADE = _ROOT / "profiles" / "pixart-emoji" / "fp8_e4m3.json"
_REFERENCE = (
    _ROOT / "benchmarks" / "results" / "method" / "profiles" / "h100-16x2" / "fp8_e4m3.json"
)


def test_the_committed_figures_come_out_again() -> None:
    kept = json.loads((_ROOT / "benchmarks/results/method/adjoint-emoji-16x8-fp8.json").read_text())
    found = profile_accuracy.evaluate(read(_MADE), read(_REFERENCE))
    for name in ("spearman", "intervals_that_hold_brute_force", "median_ratio"):
        assert found["these_images"][name] == pytest.approx(kept["these_images"][name], abs=1e-6)
    assert found["samples"] == 16
    assert found["brute_force_samples"] == 32


def test_two_profiles_of_one_method_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile_accuracy.main([str(_REFERENCE), str(_REFERENCE)]) == 2
    assert "name the adjoint profile first" in capsys.readouterr().err


def _scores(losses: list[float], reach: float) -> list[LayerScore]:
    return [
        LayerScore(
            layer=layer(fqn),
            status=LayerStatus.MEASURED,
            ssim=1 - loss,
            ssim_low=1 - loss * reach,
            ssim_high=1 - loss / reach,
            these_low=1 - loss * reach,
            these_high=1 - loss / reach,
        )
        for fqn, loss in zip("abcd", losses, strict=True)
    ]


def test_intervals_hold_what_lies_in_them() -> None:
    losses = np.array([[1e-3, 1.1e-3], [2e-3, 2.1e-3], [3e-3, 3.2e-3], [9e-3, 9.1e-3]])
    reference = Reference(tuple("abcd"), ("x", "y"), losses)
    found = on_the_same_images(_scores([1e-3, 2e-3, 3e-3, 4e-3], 1.5), reference)
    assert found["spearman"] == 1
    assert found["intervals_that_hold_brute_force"] == 0.75
    others = on_other_prompts(_scores([4e-3, 3e-3, 2e-3, 1e-3], 1.01), reference)
    assert others["spearman"] == -1
    assert others["intervals_that_hold_brute_force"] < 1


def test_ranks_agree_by_order_alone() -> None:
    assert spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])) == 1


def test_sets_of_layers_side_by_side_are_the_images_of_each_alone() -> None:
    cpu = torch.device("cpu")
    pipeline = load_pipeline("pixart-emoji", dtype=torch.float32, device=cpu).pipeline
    settings = Settings(
        samples=(Sample("robot", 0), Sample("pizza", 1)),
        negative_prompt="",
        num_inference_steps=2,
        guidance_scale=2.0,
        height=64,
        width=64,
        max_sequence_length=32,
    )
    renderer = Renderer(pipeline, settings, lambda: None)
    quant_type = parse_quant_type("fp8_e4m3_e4m3_dynamic_per_tensor")
    names = ("proj_out", "transformer_blocks.3.ff.net.2")
    found = Variants(renderer, quant_type).losses([{name} for name in names])
    (plain,) = renderer.render(2)
    for at, name in enumerate(names):
        (made,) = renderer.render(
            2,
            lambda layout, fqn=name: one_layer_quantized(  # type: ignore[misc]
                renderer.transformer, fqn, quant_type, layout
            ),
        )
        alone = [x.loss for x in compare(made, plain)]
        np.testing.assert_allclose(found[at], np.array(alone, dtype=np.float64), rtol=0.02)
