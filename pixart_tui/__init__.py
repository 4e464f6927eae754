"""Profile, select and benchmark layer-wise quantization of PixArt transformers.

The public names are resolved when they are first used, so that importing the package loads no
torch: ``from pixart_tui import load, profile, select, optimize, bench``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixart_tui.library import (
        Profiled,
        Verified,
        bench,
        export,
        find_lora,
        load,
        optimize,
        profile,
        quantize,
        report,
        restore,
        select,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "Profiled",
    "Verified",
    "__version__",
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


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("pixart_tui.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
