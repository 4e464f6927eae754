from __future__ import annotations

from pixart_tui.domain.benchmarks.rows import Clocks, ColdCall, Figures, Statistic
from pixart_tui.worker.bench.messages import CallTimed
from pixart_tui.worker.bench.pool import Pool


def _call(e2e_s: float, iterations_per_s: float | None = None) -> CallTimed:
    return CallTimed(iterations_per_s=iterations_per_s, transformer_s=0.5, e2e_s=e2e_s)


def test_every_call_counts_alike_whatever_process_made_it() -> None:
    pool = Pool()
    for seconds in (3.0, 1.0, 2.0):
        pool.calls.append(_call(seconds, 10 / seconds))
    figures = pool.merged()
    assert figures.e2e_s == Statistic(median=2.0, min=1.0, max=3.0, n=3)
    assert figures.iterations_per_s == Statistic(median=5.0, min=10 / 3, max=10.0, n=3)
    assert figures.transformer_s == Statistic(median=0.5, min=0.5, max=0.5, n=3)


def test_one_step_has_no_iteration_speed() -> None:
    assert Pool(calls=[_call(1.0)]).merged().iterations_per_s is None


def test_of_several_processes_the_largest_peak_and_the_median_warm_up() -> None:
    pool = Pool()
    for peak, warmup_s in ((5, 9.0), (7, 8.0), (6, 1.0)):
        pool.found.append(Figures(peak_bytes=peak, warmup_cache_s=warmup_s))
    assert pool.merged() == Figures(peak_bytes=7, warmup_cache_s=8.0)


def test_clocks_are_pooled_and_the_rest_is_the_last() -> None:
    pool = Pool()
    for mhz, hits in ((1000.0, 3), (2000.0, 4)):
        clocks = Clocks(sm_mhz=mhz, power_w=1, temperature_c=1, samples=1)
        pool.found.append(Figures(clocks=clocks, cache_hits=hits))
    figures = pool.merged()
    assert figures.cache_hits == 4
    assert figures.clocks == Clocks(sm_mhz=1500, power_w=1, temperature_c=1, samples=2)


def test_a_process_takes_back_no_figure_of_another() -> None:
    one = Figures(ssim=0.9, images_equal=False, chosen_memory="8-bit T5")
    assert Pool(found=[one, Figures(cache_hits=1)]).merged() == one.replace(cache_hits=1)


def test_a_warm_up_ends_where_the_rows_own_speed_is_reached() -> None:
    cold = (
        ColdCall(elapsed_s=9.0, iterations_per_s=1.0),
        ColdCall(elapsed_s=2.0, iterations_per_s=4.0),
        ColdCall(elapsed_s=1.0, iterations_per_s=10.0),
    )
    pool = Pool(found=[Figures(cold_calls=cold)])
    assert pool.merged().warmup_compile_s == 9.0
    pool.calls.append(_call(1.0, 10.0))
    assert pool.merged().warmup_compile_s == 11.0


def test_a_start_with_a_cache_that_held_nothing_is_none() -> None:
    pool = Pool(found=[Figures(warmup_cache_s=3.0, cache_misses=2)], cached_start_counts=False)
    assert pool.merged() == Figures(cache_misses=2)
