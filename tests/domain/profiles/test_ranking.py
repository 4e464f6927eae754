from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.profiles.ranking import paired_bootstrap, rank_layers, same_over_draws


def _ranks(*samples: list[float]) -> list[tuple[int, int, bool]]:
    losses = [np.array(x) for x in samples]
    means = np.array([x.mean() for x in losses])
    draws = paired_bootstrap(losses, 400)
    found = rank_layers(means, lambda a, b: same_over_draws(draws[:, a], draws[:, b]))
    return [(x.place, x.first, x.tied) for x in found]


def test_layers_whose_order_hangs_on_the_sample_are_ties() -> None:
    assert _ranks([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.1]) == [(2, 1, True), (1, 1, True)]


def test_a_difference_in_every_sample_is_none() -> None:
    """However large the spread over the samples is: they are compared pairwise."""
    assert _ranks([1.0, 20.0, 300.0], [1.1, 22.0, 330.0]) == [(2, 2, False), (1, 1, False)]


def test_a_chain_of_neighbors_does_not_tie_its_ends() -> None:
    first, second, third = [10.0, 10.0, 10.0, 10.0], [9.0, 10.5, 9.5, 10.4], [9.0, 9.1, 9.2, 9.3]
    found = _ranks(first, second, third)
    assert found[0][1] == found[1][1] == 1
    assert found[2][1] == 3


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_places_are_a_permutation_and_groups_are_neighbors(samples: list[list[float]]) -> None:
    found = sorted(_ranks(*samples))
    assert [place for place, _, _ in found] == list(range(1, len(samples) + 1))
    firsts = [first for _, first, _ in found]
    assert firsts == sorted(firsts)
    assert all(first <= place for place, first, _ in found)
    assert all(tied == (firsts.count(first) > 1) for _, first, tied in found)
