"""The package as a library: measure, choose, quantize and benchmark from Python.

    from pixart_tui import load, profile, quantize, select

The command line asks for the same things through the same requests. What it does in a detached
worker, :func:`profile` does in this process, with the same generator; :func:`bench` starts the
worker too, as every row of a benchmark needs a process of its own.
Imports everything but ``cli``, ``tui`` and ``worker``.
"""

from pixart_tui.library.benchmarking import bench
from pixart_tui.library.optimizing import optimize, restore
from pixart_tui.library.profiling import Profiled, load, profile
from pixart_tui.library.quantizing import quantize
from pixart_tui.library.selecting import select

__all__ = [
    "Profiled",
    "bench",
    "load",
    "optimize",
    "profile",
    "quantize",
    "restore",
    "select",
]
