"""The preloaded library that fails or kills at the n-th change of a file, and moves the clock."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
_NEVER: Final = 2**40


class Mode(IntEnum):
    """What happens at the n-th change."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_HALFWAY = 2
    FAIL_ONCE = 3
    FAIL_FROM = 4


@dataclass(frozen=True, slots=True)
class Aim:
    """A fault that waits in a process.

    Attributes:
        mode: What happens.
        call: At which change, counted from 1.
        error: The errno of a failure.
    """

    mode: Mode = Mode.COUNT
    call: int = _NEVER
    error: int = 0


def preload(folder: Path) -> None:
    """Starts this program again with the library in it, once.

    Args:
        folder: Where it is built, by gcc.
    """
    if "shim" in os.environ.get("LD_PRELOAD", ""):
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    library = folder / f"shim-{name}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        made.replace(library)
    os.environ["LD_PRELOAD"] = str(library)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def arm(aim: Aim, runs: Path, output: Path) -> None:
    """Counts every change below two directories in this process, and has the fault wait for it."""
    _library().chaos_arm(
        str(runs).encode(), str(output).encode(), ctypes.c_long(aim.call), aim.mode, aim.error
    )


def count() -> int:
    """Changes since this process was armed."""
    return int(_library().chaos_count())


def set_clock(offset_s: int) -> None:
    """Moves the wall clock of this process and of those that it starts."""
    _library().chaos_clock(ctypes.c_long(offset_s))
    os.environ["CHAOS_CLOCK"] = str(offset_s)


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.chaos_count.restype = ctypes.c_long
    return library
