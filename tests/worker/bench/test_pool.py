from __future__ import annotations

from pixart_tui.domain.benchmarks.rows import Clocks, Statistic
from pixart_tui.worker.bench.messages import CallTimed, FiguresFound
from pixart_tui.worker.bench.pool import Pool


def _call(e2e_s: float, iterations_per_s: float | None = None) -> CallTimed:
    return CallTimed(iterations_per_s=iterations_per_s, transformer_s=0.5, e2e_s=e2e_s)


def test_every_call_counts_alike_whatever_process_made_it() -> None:
    pool = Pool()
    for seconds in (3.0, 1.0, 2.0):
        fields = pool.add_call(_call(seconds, 10 / seconds))
    assert fields["e2e_s"] == Statistic(median=2.0, min=1.0, max=3.0, n=3)
    assert fields["iterations_per_s"] == Statistic(median=5.0, min=10 / 3, max=10.0, n=3)
    assert fields["transformer_s"] == Statistic(median=0.5, min=0.5, max=0.5, n=3)


def test_one_step_has_no_iteration_speed() -> None:
    assert "iterations_per_s" not in Pool().add_call(_call(1.0))


def test_of_several_processes_the_largest_peak_and_the_median_warm_up() -> None:
    pool = Pool()
    for peak, warmup_s in ((5, 9.0), (7, 8.0), (6, 1.0)):
        fields = pool.add_figures(FiguresFound(peak_bytes=peak, warmup_cache_s=warmup_s))
    assert fields == {"peak_bytes": 7, "warmup_cache_s": 8.0}


def test_clocks_are_pooled_and_the_rest_is_the_last() -> None:
    pool = Pool()
    for mhz, hits in ((1000.0, 3), (2000.0, 4)):
        clocks = Clocks(sm_mhz=mhz, power_w=1, temperature_c=1, samples=1)
        fields = pool.add_figures(FiguresFound(clocks=clocks, cache_hits=hits))
    assert fields["cache_hits"] == 4
    assert fields["clocks"] == Clocks(sm_mhz=1500, power_w=1, temperature_c=1, samples=2)


def test_only_what_is_known_changes_a_row() -> None:
    assert Pool().add_figures(FiguresFound(psnr_db=None)) == {"psnr_db": None}
