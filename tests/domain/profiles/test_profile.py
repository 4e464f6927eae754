from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.profiles.profile import Profile, merge_measurements
from pixart_tui.domain.profiles.score import LayerStatus, ranked
from pixart_tui.domain.profiles.scoring import bootstrap_interval, score_layer, score_layers
from pixart_tui.reporting.score_text import rank_text
from tests.samples import QUANT_TYPE, conditions, layer, measurement

_MEASUREMENTS = st.lists(
    st.builds(
        measurement,
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 1),
        st.sampled_from(["robot", "apple"]),
        st.integers(0, 2),
    ),
    max_size=20,
)


@given(_MEASUREMENTS, _MEASUREMENTS)
def test_merging_is_idempotent_and_keeps_one_per_key(
    first: list[Measurement], second: list[Measurement]
) -> None:
    merged = merge_measurements([first, second])
    assert merge_measurements([merged, merged, first, second]) == merged
    assert len({m.key for m in merged}) == len(merged)
    assert {m.key for m in merged} == {m.key for m in first + second}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_mean_and_lies_within_the_samples(values: list[float]) -> None:
    samples = np.array(values)
    low, high = bootstrap_interval(samples)
    slack = 1e-12
    assert samples.min() - slack <= low <= high <= samples.max() + slack


def test_the_interval_narrows_with_more_samples() -> None:
    few, many = np.tile([0.0, 1.0], 4), np.tile([0.0, 1.0], 400)
    few_low, few_high = bootstrap_interval(few)
    many_low, many_high = bootstrap_interval(many)
    assert many_high - many_low < (few_high - few_low) / 5


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.normal(0.5, 0.1, 32))
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 300 <= 0.99


def test_a_score_is_the_mean_over_prompts_and_seeds() -> None:
    found = score_layer(
        layer("a"), None, [measurement("a", 0.9), measurement("a", 0.8, prompt="apple")]
    )
    assert found.status is LayerStatus.MEASURED
    assert found.ssim == pytest.approx(0.85)
    assert found.ssim_std == pytest.approx(np.std([0.9, 0.8], ddof=1))
    assert found.samples == 2


def test_a_nan_is_its_own_status_and_never_a_number() -> None:
    broken = Measurement(layer="a", quant_type=QUANT_TYPE, prompt="robot", seed=0, finite=False)
    found = score_layer(layer("a"), None, [measurement("a", prompt="apple"), broken])
    assert found.status is LayerStatus.NOT_FINITE
    assert found.ssim is None
    assert found.loss is None


def test_an_excluded_layer_is_marked_with_its_reason_and_not_scored() -> None:
    found = score_layer(layer("a"), "K is not a multiple of 16", [])
    assert (found.status, found.ssim) == (LayerStatus.EXCLUDED, None)
    assert found.reason == "K is not a multiple of 16"


def test_ranking_puts_the_most_sensitive_first_and_leaves_out_the_unmeasured() -> None:
    scores = score_layers(
        [layer("a"), layer("b"), layer("c"), layer("d")],
        {"d": "shape"},
        [measurement("a", 0.99), measurement("b", 0.9)],
    )
    assert [s.layer.fqn for s in ranked(scores)] == ["b", "a"]


def test_noise_and_floor_are_reference_figures_of_their_own() -> None:
    profile = Profile(
        conditions=conditions(),
        layers=(layer("a"),),
        excluded={},
        measurements=(measurement("a", 0.9), measurement("a", 0.7, prompt="apple")),
        floor=(Comparison(prompt="robot", seed=0, ssim=0.98),),
    )
    assert profile.deployment_floor == pytest.approx(0.02)
    assert profile.measurement_noise == pytest.approx(np.std([0.9, 0.7], ddof=1))


def test_one_image_gives_no_ranks_and_says_so() -> None:
    layers = (layer("a"), layer("b"))
    one = [measurement("a", 0.9, "robot", 0), measurement("b", 0.8, "robot", 0)]
    alone = ranked(score_layers(layers, {}, one))
    assert [rank_text(i, x) for i, x in enumerate(alone, 1)] == ["1?", "2?"]
    two = [*one, measurement("a", 0.91, "apple", 0), measurement("b", 0.81, "apple", 0)]
    both = ranked(score_layers(layers, {}, two))
    assert [rank_text(i, x) for i, x in enumerate(both, 1)] == ["1", "2"]
