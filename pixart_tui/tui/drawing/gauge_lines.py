"""Draws the device's load in one line: utilization, memory, power, temperature."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.live import Gauges, Live
from pixart_tui.tui.drawing import wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, progress_bar

_BAR_CELLS: Final = 8
_GIB: Final = 2**30


def gauges_line(live: Live | None, width: int) -> Line:
    """The line; without any sample it says so, so that the lines below stay where they are."""
    if live is None or live.gauges is None:
        return line(Span(fit(" no gauges of the device", width), "muted"))
    parts = _gpu(live.gauges) if live.gauges.source == "gpu" else _processes(live)
    return line(" ", *parts)


def _gpu(gauges: Gauges) -> list[Span]:
    share = gauges.utilization
    spans = [Span("GPU "), *_bar(share), Span(" -" if share is None else f" {share:>4.0%}")]
    spans += [Span("  memory "), *_memory(gauges)]
    power, temperature = gauges.power_w, gauges.temperature_c
    spans.append(Span("      -" if power is None else f"  {power:>4.0f} W"))
    spans.append(Span("      -" if temperature is None else f"  {temperature:>3.0f} °C"))
    return spans


def _processes(live: Live) -> list[Span]:
    """A machine without a GPU: what the run's own processes take, and of what."""
    assert live.gauges is not None
    share, cores = live.gauges.utilization or 0.0, live.cpu_cores
    of = f" {share:.2f} of {wording.count(cores, 'core')}"
    memory = [Span("  resident "), *_memory(live.gauges)]
    return [Span("processes' CPU "), *_bar(share / cores), Span(of), *memory]


def _memory(gauges: Gauges) -> list[Span]:
    used, total = gauges.memory_bytes, gauges.memory_total_bytes
    if used is None or not total:
        return [Span("-")]
    return [*_bar(used / total), Span(f" {used / _GIB:.1f} of {total / _GIB:.1f} GiB")]


def _bar(share: float | None) -> Line:
    return progress_bar(share or 0.0, _BAR_CELLS)
