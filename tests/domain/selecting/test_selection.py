from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.domain.selecting.selection import select
from tests.samples import QUANT_TYPE, score

_SCORES = st.lists(st.tuples(st.floats(0.9, 1.0), st.integers(1, 64)), min_size=1, max_size=9).map(
    lambda rows: [score(f"l{i}", ssim, rows=r) for i, (ssim, r) in enumerate(rows)]
)


_TIMES_S = st.floats(1e-7, 1e-3)


def _timed(
    fqn: str, ssim: float | None, unquantized: float, quantized: float | None, noise: float = 0.0
) -> LayerScore:
    latency = Latency(unquantized=unquantized, quantized=quantized, noise=noise)
    return score(fqn, ssim).replace(latency_s=latency)


# Some layers are excluded, some pay, some do not.
_TIMED_SCORES = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(0.9, 1.0)), _TIMES_S, st.floats(0.3, 2.0)),
    min_size=1,
    max_size=9,
).map(
    lambda rows: [
        _timed(f"l{i}", ssim, time_s, None if ssim is None else time_s * factor)
        for i, (ssim, time_s, factor) in enumerate(rows)
    ]
)


def _subsets(scores: list[LayerScore]) -> list[tuple[LayerScore, ...]]:
    sizes = range(len(scores) + 1)
    return list(chain.from_iterable(combinations(scores, size) for size in sizes))


def _loss(scores: tuple[LayerScore, ...]) -> float:
    return sum(s.loss or 0.0 for s in scores)


def _flops(scores: tuple[LayerScore, ...]) -> int:
    return sum(s.layer.flops for s in scores)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 100))
def test_top_percentage_counts_layers_as_the_seed_does(ssims: list[float], p: float) -> None:
    scores = [score(f"l{i}", ssim) for i, ssim in enumerate(ssims)]
    chosen = select(scores, QUANT_TYPE, "top-percentage", p).chosen
    assert len(chosen) == int(len(scores) * (p / 100))
    worst_chosen = min((ssims[int(fqn[1:])] for fqn in chosen), default=1.0)
    kept = [ssim for i, ssim in enumerate(ssims) if f"l{i}" not in chosen]
    assert all(ssim <= worst_chosen for ssim in kept)


@settings(deadline=None, max_examples=60)
@given(_SCORES, st.integers(0, 100).map(lambda p: p / 100))
def test_flops_share_finds_the_least_loss_that_reaches_the_share(
    scores: list[LayerScore], share: float
) -> None:
    selection = select(scores, QUANT_TYPE, "flops-share", share)
    needed = share * _flops(tuple(scores))
    best = min(_loss(s) for s in _subsets(scores) if _flops(s) >= needed)
    assert selection.flops_share >= share - 1e-9
    assert selection.predicted_loss == pytest.approx(best, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(_SCORES, st.integers(0, 500).map(lambda x: x / 1000))
def test_max_loss_finds_the_most_flops_within_the_budget(
    scores: list[LayerScore], budget: float
) -> None:
    selection = select(scores, QUANT_TYPE, "max-loss", budget)
    total = _flops(tuple(scores))
    best = max(_flops(s) for s in _subsets(scores) if _loss(s) <= budget)
    assert selection.predicted_loss <= budget + 1e-9
    assert selection.flops_share >= best / total - 1e-6


def test_layers_that_cannot_be_quantized_are_kept_and_never_counted() -> None:
    scores = [score("a", 0.99), score("b", None), score("c", 0.98)]
    selection = select(scores, QUANT_TYPE, "top-percentage", 100)
    assert selection.chosen == ("a", "c")
    assert selection.kept == ("b",)
    assert selection.flops_share == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [
        ("top-percentage", 101),
        ("top-percentage", -1),
        ("flops-share", 1.5),
        ("time-share", 1.5),
        ("max-loss", -0.1),
    ],
)
def test_a_parameter_out_of_range_is_refused(rule: str, parameter: float) -> None:
    with pytest.raises(RequestError, match="out of range"):
        select([score("a", 0.9)], QUANT_TYPE, rule, parameter)  # type: ignore[arg-type]


def test_nan_is_not_a_parameter() -> None:
    with pytest.raises(RequestError, match="out of range"):
        select([score("a", 0.9)], QUANT_TYPE, "max-loss", float("nan"))


def test_a_share_that_the_quantizable_layers_do_not_reach_is_refused() -> None:
    with pytest.raises(RequestError, match="do not reach"):
        select([score("a", 0.9), score("b", None)], QUANT_TYPE, "flops-share", 0.6)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(RequestError, match="no measured layer"):
        select([score("a", None)], QUANT_TYPE, "top-percentage", 90)


def _time_s(scores: tuple[LayerScore, ...]) -> float:
    return sum(s.latency_s.unquantized for s in scores if s.latency_s)


@settings(deadline=None, max_examples=100)
@given(_TIMED_SCORES, st.integers(0, 100).map(lambda p: p / 100))
def test_time_share_finds_the_least_loss_of_layers_that_pay(
    scores: list[LayerScore], share: float
) -> None:
    paying = [s for s in scores if s.ssim is not None and s.latency_s and s.latency_s.speeds_up]
    total_s = _time_s(tuple(scores))
    reaching = [s for s in _subsets(paying) if _time_s(s) >= share * total_s * (1 - 1e-12)]
    if not any(s.ssim is not None for s in scores):
        return
    if not reaching:
        with pytest.raises(RequestError, match="layers that pay do not reach"):
            select(scores, QUANT_TYPE, "time-share", share)
        return
    selection = select(scores, QUANT_TYPE, "time-share", share)
    assert set(selection.chosen) <= {s.layer.fqn for s in paying}
    assert selection.time_share is not None
    assert selection.time_share >= share - 1e-9
    best = min(_loss(subset) for subset in reaching)
    assert selection.predicted_loss == pytest.approx(best, abs=1e-6)


def test_time_and_not_flops_decides_what_the_time_share_takes() -> None:
    scores = [
        _timed("slow", 0.95, 6e-6, 3e-6),
        _timed("quick", 0.99, 2e-6, 1e-6),
        _timed("costs", 1.0, 9e-6, 9.1e-6),
        _timed("within noise", 1.0, 3e-6, 2.9e-6, noise=0.2e-6),
    ]
    assert select(scores, QUANT_TYPE, "time-share", 0.1).chosen == ("quick",)
    assert select(scores, QUANT_TYPE, "time-share", 0.2).chosen == ("slow",)
    assert select(scores, QUANT_TYPE, "time-share", 0.4).chosen == ("quick", "slow")
    with pytest.raises(RequestError, match="layers that pay do not reach"):
        select(scores, QUANT_TYPE, "time-share", 0.5)


def test_every_rule_tells_the_time_where_it_is_known() -> None:
    scores = [
        _timed("a", 0.99, 4e-6, 1e-6),
        _timed("b", 0.98, 2e-6, 3e-6),
        _timed("c", 0.97, 1e-6, 2e-6),
        _timed("d", None, 1e-6, None),
    ]
    selection = select(scores, QUANT_TYPE, "top-percentage", 67)
    assert selection.chosen == ("a", "b")
    assert selection.time_share == pytest.approx(6 / 8)
    assert selection.predicted_time_saved_s == pytest.approx(2e-6)
    assert selection.no_speedup == ("b", "c")


def test_without_latency_nothing_is_told_of_time_and_its_rule_is_refused() -> None:
    scores = [score("a", 0.99), _timed("b", 0.98, 2e-6, 1e-6)]
    selection = select(scores, QUANT_TYPE, "flops-share", 0.5)
    times = (selection.time_share, selection.predicted_time_saved_s, selection.no_speedup)
    assert times == (None, None, None)
    with pytest.raises(RequestError, match="time of its layers") as refused:
        select(scores, QUANT_TYPE, "time-share", 0.5)
    assert "pixart-tui profile" in refused.value.next_step


def test_an_endless_budget_is_refused() -> None:
    with pytest.raises(RequestError, match="out of range"):
        select([score("a", 0.9)], QUANT_TYPE, "max-loss", float("inf"))
