"""Keeps what a C library prints out of the results on stdout, and off the dashboard's screen."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

_STDOUT: Final = 1
_ONE_AT_A_TIME: Final = Lock()
"""Of two threads that swap the descriptor at once, one would put back the other's."""


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Nothing that is written to the process's descriptor 1 meanwhile gets anywhere.

    HiGHS prints ``HighsMipSolverData::transformNewIntegerFeasibleSolution tmpSolver.run();``
    whatever its options say.
    """
    with _ONE_AT_A_TIME:
        try:
            kept = os.dup(_STDOUT)
        except OSError:  # closed: nothing can be printed
            yield
            return
        if sys.stdout is not None:
            sys.stdout.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        try:
            yield
        finally:
            ctypes.CDLL(None).fflush(None)  # C keeps what it printed until its buffer is full
            os.dup2(kept, _STDOUT)
            os.close(kept)
            os.close(nowhere)
