"""The disk is full, read only or broken from the n-th change of a file on, for every n."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.chaos.kinds import COMMANDS, contents
from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.parts.kills import KINDS
from benchmarks.chaos.processes import Setting, command
from benchmarks.chaos.shim import Aim, Mode
from benchmarks.chaos.trying import Try

_FAULTS: Final = (
    (Mode.FAIL_FROM, errno.ENOSPC),
    (Mode.FAIL_FROM, errno.EROFS),
    (Mode.FAIL_ONCE, errno.EIO),
)
_STRIDES: Final = {"bench": 9, "exhaustive": 5}
"""Of kinds with many changes, or dear ones, not each is tried."""

_DIRECT: Final[dict[str, tuple[str, ...]]] = {
    "select": ("select", "{profile}", "--flops-share", "0.5", "--output", "old.json"),
    "report": ("report", "{profile}", "--output", "old.html"),
    "export": ("export", "{profile}", "--format", "torchao", "--output", "old.json"),
    "compare": ("compare", "{pair}", "{pair}", "--output", "old.png"),
    "start": (*COMMANDS["adjoint"], "--detach"),
}
_MOST_CALLS: Final = 12
_OLD: Final = b"what stood there before"


def _cases(references: References) -> list[Case]:
    found = [
        Case(
            f"{kind}: {mode.name.lower()} {errno.errorcode[error]} at change {call}",
            partial(_fail_worker, kind=kind, aim=Aim(mode, call, error)),
        )
        for kind, source in references.items()
        if kind in KINDS
        for call in range(1, source.calls + 1, _STRIDES.get(kind, 1))
        for mode, error in _FAULTS
    ]
    return found + [
        Case(
            f"{name}: {mode.name.lower()} {errno.errorcode[error]} at change {call}",
            partial(_fail_command, name=name, aim=Aim(mode, call, error)),
        )
        for name in _DIRECT
        if name != "compare" or "compare" in references
        for call in range(1, _MOST_CALLS + 1)
        for mode, error in _FAULTS
    ]


def _fail_worker(one: Try, kind: str, aim: Aim) -> None:
    directory = one.new_run(kind)
    code = one.work(directory, aim)
    before = one.interrupted(directory, [])
    if code is None:
        one.blame("exits", "the worker does not end")
    if code:
        _check_told(one, directory, aim)
        one.command("attach", directory.name, "--display", "plain")
        one.resume(directory)
    one.interrupted(directory, before)
    one.same_as_reference(kind)


def _check_told(one: Try, directory: Path, aim: Aim) -> None:
    told = one.told(directory)
    log = (directory / "worker.log").read_text(errors="replace")
    cause = os.strerror(aim.error)
    if not told.startswith("failed") and cause not in log:
        one.blame("untold", f"{told}, and nothing in the log")
    elif told.startswith("failed") and cause not in told:
        one.blame("untold", f"{told}: not {cause}")
    elif not told.startswith("failed") and aim.mode is Mode.FAIL_ONCE:
        one.blame("untold", f"{told}, and the disk could be written")


def _fail_command(one: Try, name: str, aim: Aim) -> None:
    """What stood there is there still, or the new file is, whole."""
    replaced = {"{profile}": str(one.references["adjoint"].out / "adjoint.json")}
    if name == "compare":
        replaced["{pair}"] = str(one.references["compare"].out / "pair.png")
    arguments = [replaced.get(part, part) for part in _DIRECT[name]]
    target = next((part for part in arguments if part.startswith("old.")), "")
    wanted = _undisturbed(one, arguments, target) if target else {}
    if target:
        (one.out / target).write_bytes(_OLD)
    found = one.command(*arguments, aim=aim)
    if not target:
        if found.code == 0:
            one.command("cancel", "last")
        return
    data = (one.out / target).read_bytes() if (one.out / target).exists() else b""
    whole = wanted.get(target, b"")
    if found.code == 0 and data == _OLD:
        one.blame("wrong", f"{name}: exit 0, and nothing was written")
    if data != _OLD and contents(one.out).get(target) != whole:
        one.blame("wrong", f"{name}: neither the old {target} nor a whole new one")


def _undisturbed(one: Try, arguments: list[str], target: str) -> dict[str, bytes]:
    place = one.place / "reference"
    place.mkdir()
    command(arguments, Setting(place, one.runs))
    found = contents(place)
    shutil.rmtree(place)
    return found if target in found else {}


PARTS: Final = (Part("disks", "full, read-only and broken disks", KINDS, _cases),)
