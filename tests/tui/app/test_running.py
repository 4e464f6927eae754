"""The viewer's process: what it takes of the machine, and what workers get from it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")

_PROBE = """
import os, subprocess, sys
from pathlib import Path
from pixart_tui.tui.app import running
running.keep_numpy_to_one_core()
import numpy as np
np.linalg.inv(np.random.default_rng(0).random((400, 400)))
status = Path("/proc/self/status").read_text()
print(status.partition("Threads:")[2].split()[0])
child = [sys.executable, "-c", "import os; print(os.environ.get('OPENBLAS_NUM_THREADS'))"]
print(subprocess.run(child, env={**os.environ}, capture_output=True, text=True).stdout.strip())
"""


def _probe(**environment: str) -> list[str]:
    own = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", _PROBE]
    ended = subprocess.run(
        command, env=own | environment, capture_output=True, text=True, check=True
    )
    return ended.stdout.split()


def test_numbers_take_one_core_of_the_viewer_and_workers_are_not_told() -> None:
    assert _probe() == ["1", "None"]


def test_what_the_user_says_holds() -> None:
    threads, told = _probe(OPENBLAS_NUM_THREADS="2")
    assert told == "2"
    assert int(threads) == min(2, len(os.sched_getaffinity(0)))
