"""The dashboard never loads what takes seconds or may crash."""

from __future__ import annotations

import subprocess
import sys

_PROBE = """
import importlib, pkgutil, sys
import pixart_tui, pixart_tui.tui
names = [m.name for m in pkgutil.walk_packages(pixart_tui.tui.__path__, "pixart_tui.tui.")]
for name in names:
    importlib.import_module(name)
heavy = {"torch", "diffusers", "transformers", "torchao", "torchmetrics", "scipy"}
print(len(names), sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_importing_every_module_of_the_dashboard_loads_no_torch() -> None:
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True
    )
    count, loaded = probe.stdout.strip().split(" ", 1)

    assert int(count) > 20
    assert loaded == "[]"


def test_the_first_paint_waits_for_no_numpy() -> None:
    code = "import sys, pixart_tui.tui.app.app; print('numpy' in sys.modules)"
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert probe.stdout.strip() == "False"
