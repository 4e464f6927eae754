"""Sorting and filtering: every layer once, whatever is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.tui.tabs.profile.order import Filter, Sort, ordered
from tests.tui import alpha_runs

LAYERS = alpha_runs.layers()
SCORES = alpha_runs.profile(list(alpha_runs.exhaustive_events(141))).scores()

_statuses = st.sampled_from(LayerStatus)
_ssims = st.one_of(st.none(), st.floats(0.5, 1.0))


@st.composite
def _scores(draw: st.DrawFn) -> list[LayerScore]:
    layers = draw(st.lists(st.sampled_from(LAYERS), unique_by=lambda layer: layer.fqn))
    times = alpha_runs.latencies()
    found = []
    for layer in layers:
        status = draw(_statuses)
        ssim = draw(st.floats(0.5, 1.0)) if status is LayerStatus.MEASURED else None
        latency = draw(st.sampled_from([None, times[layer.fqn]]))
        found.append(LayerScore(layer=layer, status=status, ssim=ssim, latency_s=latency))
    return found


@given(_scores(), st.sampled_from(Sort))
def test_every_layer_appears_exactly_once(scores: list[LayerScore], sort: Sort) -> None:
    names = [score.layer.fqn for score in ordered(scores, sort)]

    assert sorted(names) == sorted(score.layer.fqn for score in scores)


@given(_scores(), st.sampled_from(Sort), st.text(max_size=20))
def test_filtering_keeps_the_order_and_invents_nothing(
    scores: list[LayerScore], sort: Sort, text: str
) -> None:
    whole = ordered(scores, sort)

    kept = Filter(text).kept(whole)

    assert kept == [score for score in whole if score in kept]


@given(st.text(max_size=30), st.sampled_from(LAYERS))
def test_no_text_breaks_the_filter(text: str, layer: Layer) -> None:
    assert Filter(text).keeps(layer) in (True, False)
    if not text.strip():
        assert Filter(text).keeps(layer)


@given(st.sampled_from(LAYERS), st.data())
def test_any_part_of_a_name_finds_its_layer(layer: Layer, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(layer.fqn) - 1))
    end = data.draw(st.integers(start + 1, len(layer.fqn)))

    assert Filter(layer.fqn[start:end].upper()).keeps(layer)


@given(st.integers(0, 27), st.integers(0, 27))
def test_a_range_of_blocks_keeps_those_blocks(first: int, last: int) -> None:
    kept = [layer for layer in LAYERS if Filter(f"block:{first}-{last}").keeps(layer)]

    assert {layer.block for layer in kept} == set(range(first, last + 1))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 290),
        ("to_q", 56),
        ("attn1 to_q", 28),
        ("*.to_q", 56),
        ("*.attn?.to_out.0", 56),
        ("3.*", 10),
        ("block:3", 10),
        ("block:3-", 10),
        ("block:", 290),
        ("block:x", 0),
        ("block:3-5 type:ff", 6),
        ("type:linear_1", 4),
        ("TYPE:FF", 56),
        ("[", 0),
        ("nothing", 0),
    ],
)
def test_what_a_filter_keeps(text: str, count: int) -> None:
    assert sum(Filter(text).keeps(layer) for layer in LAYERS) == count


def test_ranks_come_before_what_is_to_come_and_what_broke_comes_first() -> None:
    statuses = [score.status for score in ordered(SCORES, Sort.RANK)]

    assert statuses[0] is LayerStatus.NOT_FINITE
    assert statuses[1:141] == [LayerStatus.MEASURED] * 140
    assert statuses[141:283] == [LayerStatus.PENDING] * 142
    assert statuses[283:] == [LayerStatus.EXCLUDED] * 7


def test_names_are_sorted_with_numbers_by_value() -> None:
    names = [score.layer.fqn for score in ordered(SCORES, Sort.NAME)]

    blocks = [int(name.split(".")[1]) for name in names if name.startswith("transformer_blocks")]
    assert blocks == sorted(blocks)
    assert names[0].startswith("adaln_single")


def test_within_a_block_the_most_sensitive_comes_first() -> None:
    first = [score.loss for score in ordered(SCORES, Sort.BLOCK)[:10]]

    assert first == sorted(first, key=lambda loss: -(loss or 0.0))
    assert {score.layer.block for score in ordered(SCORES, Sort.BLOCK)[:10]} == {0}


def test_shares_and_times_saved_fall() -> None:
    flops = [score.layer.flops for score in ordered(SCORES, Sort.SHARE)]
    saved = [s.latency_s.saved for s in ordered(SCORES, Sort.SAVED) if s.latency_s is not None]

    assert flops == sorted(flops, reverse=True)
    assert saved == sorted(saved, reverse=True)


def test_the_sorts_come_round_and_pass_over_times_that_nobody_measured() -> None:
    assert [sort.next(timed=True) for sort in Sort] == [*list(Sort)[1:], Sort.RANK]
    assert Sort.SHARE.next(timed=False) is Sort.RANK
    assert Sort.SAVED.next(timed=False) is Sort.RANK
