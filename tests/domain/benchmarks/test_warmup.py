from __future__ import annotations

import pytest

from pixart_tui.domain.benchmarks.warmup import (
    TOTAL,
    Region,
    RegionState,
    Warmup,
    describe_finished,
    describe_region,
)


def test_what_is_left_is_not_made_up() -> None:
    assert Region(name="x", elapsed_s=3).left_s is None
    assert Warmup(cached=False, regions=(), elapsed_s=3).left_s is None


@pytest.mark.parametrize(("elapsed_s", "left_s"), [(0, 10), (4, 6), (11, 0)])
def test_what_is_left_is_what_the_last_time_took_less_what_has_passed(
    elapsed_s: float, left_s: float
) -> None:
    assert Region(name="x", elapsed_s=elapsed_s, estimated_s=10).left_s == left_s
    assert Warmup(cached=True, regions=(), elapsed_s=elapsed_s, estimated_s=10).left_s == left_s


def test_nothing_is_left_of_what_is_done() -> None:
    region = Region(name="x", estimated_s=10, state=RegionState.DONE)
    assert region.left_s == 0
    assert Warmup(cached=True, regions=(region,), elapsed_s=1, finished=True).left_s == 0


def test_graphs_from_a_cache_are_as_ready_as_compiled_ones() -> None:
    region = Region(name="x", graphs=3, compiled=1, from_cache=1)
    assert (region.ready, region.progress, region.is_complete) == (2, "2 of 3", False)
    assert Region(name="x", compiled=1).is_complete
    assert not Region(name="x").is_complete
    assert Region(name="x", from_cache=4).progress == "4"
    assert Region(name="x", graphs=1, compiled=2).progress == "2 of 2"


def test_a_region_in_words() -> None:
    region = Region(
        name="transformer blocks", found=28, graphs=1, state=RegionState.COMPILING, autotuned=7
    )
    words = "transformer blocks: compiling, 28 found, 0 of 1 ready, 7 candidates timed"
    assert describe_region(region) == words
    kernels = Region(name="Triton kernels", found=12, graphs=12, from_cache=3)
    assert describe_region(kernels) == "Triton kernels: waiting, 3 of 12 ready, 3 from cache"


def test_only_what_was_made_becomes_a_figure_and_an_estimate() -> None:
    made = Region(name="VAE decoder", graphs=1, compiled=1, elapsed_s=5)
    idle = Region(name="text encoder", graphs=1)
    assert describe_finished((made, idle)) == ["VAE decoder 5.0 s (1 made)"]
    assert Warmup(cached=False, regions=(made, idle), elapsed_s=9).seconds == {
        TOTAL: 9,
        "VAE decoder": 5,
    }
