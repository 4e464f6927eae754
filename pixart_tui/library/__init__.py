"""The package as a library: measure, choose, quantize and benchmark from Python.

    from pixart_tui import load, profile, select, verify, optimize, bench, export, report

The command line asks for the same things through the same requests. What it does in a detached
worker, :func:`profile` does in this process, with the same generator; :func:`bench` starts the
worker too, as every row of a benchmark needs a process of its own.
Imports everything but ``cli``, ``tui`` and ``worker``.
"""

from pixart_tui.domain.lora import find_lora
from pixart_tui.library.benchmarking import bench
from pixart_tui.library.exporting import export, report
from pixart_tui.library.optimizing import optimize, restore
from pixart_tui.library.profiling import Profiled, load, profile
from pixart_tui.library.quantizing import quantize
from pixart_tui.library.selecting import select
from pixart_tui.library.verifying import Verified, verify

__all__ = [
    "Profiled",
    "Verified",
    "bench",
    "export",
    "find_lora",
    "load",
    "optimize",
    "profile",
    "quantize",
    "report",
    "restore",
    "select",
    "verify",
]
