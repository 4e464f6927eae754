"""Events of a benchmark run."""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.values import Value


class BenchPlanned(Value):
    """The rows that will be measured."""

    type: Literal["bench_planned"] = "bench_planned"
    machine: Machine
    versions: Versions
    rows: tuple[BenchRow, ...]


class BenchRowUpdated(Value):
    """A row with what is known of it so far."""

    type: Literal["bench_row"] = "bench_row"
    row: BenchRow


class WarmupProgressed(Value):
    """Everything that a row's process has compiled so far, while its first call runs.

    Attributes:
        label: The row.
        warmup: Its regions.
    """

    type: Literal["warmup"] = "warmup"
    label: str
    warmup: Warmup


class BenchFinished(Value):
    """Every row is done or failed."""

    type: Literal["bench_finished"] = "bench_finished"
    result: BenchResult
