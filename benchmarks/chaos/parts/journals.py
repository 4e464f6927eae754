"""Journals and files that are torn, damaged, cut off, or of a newer version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.chaos.kinds import measured
from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.trying import Try
from pixart_tui.domain.events import Noticed
from pixart_tui.runs.journal import JournalWriter, read_journal

_KINDS: Final = ("adjoint", "exhaustive", "verify", "compare")
_MEASURED: Final = ("layer_measured", "sample_measured", "joint_measured", "images_compared")
_RESUMED: Final = 6
"""Places in a torn line from which a run is resumed; it is read at each."""

_LINE: Final = b'{"v":1,"t":1.0,"event":%s}\n'
_ODD: Final[dict[str, bytes]] = {
    "random bytes": bytes(range(1, 256)).replace(b"\n", b"") + b"\n",
    "zeros": bytes(4096) + b"\n",
    "a megabyte": b"x" * (1 << 20) + b"\n",
    "lines that are empty": b"\n" * 1000,
    "deep nesting": b"[" * 100_000 + b"\n",
    "an unknown event": _LINE % b'{"type":"of_tomorrow","x":1}',
    "a newer format": b'{"v":2,"t":1.0,"event":{"type":"attempt_started","attempt":9}}\n',
    "a type that is wrong": _LINE % b'{"type":"attempt_started","attempt":"many"}',
    "a number that is too large": _LINE % b'{"type":"attempt_started","attempt":1e999}',
    "NaN": _LINE % b'{"type":"layer_measured","layer":"x","measurements":[],"elapsed_s":NaN}',
    "half a character": b'{"v":1,"t":1.0,"event":{"type":"noticed","text":"\xc3"}}\n',
    "a lone surrogate": _LINE % b'{"type":"noticed","text":"\\ud800"}',
    "a list": b"[1,2,3]\n",
    "carriage returns": b"\r\n\r\n",
}
_JSON_FILES: Final = ("request.json", "worker.json", "live.json")
_READERS: Final = (
    ("runs",),
    ("attach", "last", "--display", "plain"),
    ("select", "last", "--flops-share", "0.5", "--output", "chosen.json"),
    ("report", "last", "--output", "report.html"),
)


def _cases(references: References) -> list[Case]:
    kinds = [kind for kind in _KINDS if kind in references]
    found = [Case(f"torn last line of {kind}", partial(_torn, kind=kind)) for kind in kinds]
    found += [
        Case(f"{kind} resumed from a torn line, {n} of {_RESUMED}", partial(_resumed, kind, n))
        for kind in kinds
        for n in range(_RESUMED)
    ]
    found += [
        Case(f"{name} in the middle of {kind}", partial(_odd_line, kind, name))
        for kind in kinds
        if kind in ("adjoint", "compare")
        for name in _ODD
    ]
    found += [
        Case(f"{name} cut to {percent}%", partial(_cut, name, percent))
        for name in _JSON_FILES
        for percent in (0, 30, 90, 99)
    ]
    found += [Case(f"{name} of a newer format", partial(_newer, name)) for name in _JSON_FILES]
    return found + [
        Case(f"{name} cut to {percent}%", partial(_cut_profile, name, percent))
        for name in ("adjoint.json", "adjoint.meta.json", "adjoint.effects.safetensors")
        for percent in (0, 1, 25, 50, 75, 99)
    ]


def _until_measured(journal: Path) -> tuple[bytes, bytes]:
    """What stands before the last line with a measurement, and that line."""
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(n for n, one in enumerate(lines) if json.loads(one)["event"]["type"] in _MEASURED)
    return b"".join(lines[:last]), lines[last]


def _torn(one: Try, kind: str) -> None:
    """Reads and continues a journal whose last line is cut off, at every byte."""
    journal = one.copy_of_run(kind) / "events.jsonl"
    before, line = _until_measured(journal)
    journal.write_bytes(before)
    wanted = measured(journal)
    one.tries = len(line) - 1
    for size in range(1, len(line)):
        journal.write_bytes(before + line[:size])
        entries = len(read_journal(journal))
        with JournalWriter(journal) as writer:
            writer.append(Noticed(text="goes on"))
        if measured(journal)[: len(wanted)] != wanted:
            one.blame("lost", f"cut after byte {size}")
        if len(read_journal(journal)) - entries not in (1, 2):  # 2: only the newline was missing
            one.blame("wrong", f"cut after byte {size}: what follows cannot be read")


def _resumed(kind: str, n: int, one: Try) -> None:
    directory = one.copy_of_run(kind)
    _as_new(one, kind, directory)
    before, line = _until_measured(directory / "events.jsonl")
    size = 1 + n * (len(line) - 2) // (_RESUMED - 1)
    (directory / "events.jsonl").write_bytes(before + line[:size])
    known = measured(directory / "events.jsonl")
    one.resume(directory)
    one.interrupted(directory, known)
    one.same_as_reference(kind)


def _as_new(one: Try, kind: str, directory: Path) -> None:
    """Has a copied run write into this try's directory."""
    run_id = directory.name
    kept = one.place / "kept"
    directory.rename(kept)
    shutil.copy(one.new_run(kind) / "request.json", kept / "request.json")
    shutil.rmtree(one.runs / run_id)
    kept.rename(directory)


def _odd_line(kind: str, name: str, one: Try) -> None:
    directory = one.copy_of_run(kind)
    _as_new(one, kind, directory)
    journal = directory / "events.jsonl"
    known = measured(journal)
    before, line = _until_measured(journal)
    journal.write_bytes(before + _ODD[name] + line)
    for arguments in _READERS[:2]:
        one.command(*arguments)
    if measured(journal) != known:
        one.blame("lost", f"after {name}")
    one.resume(directory)
    one.interrupted(directory, known)
    one.same_as_reference(kind)


def _changed_file(one: Try, name: str, change: Callable[[bytes], bytes]) -> None:
    directory = one.copy_of_run("adjoint")
    path = directory / name
    path.write_bytes(change(path.read_bytes()))
    other = one.new_run("adjoint", "another")
    for arguments in (*_READERS, ("runs", "--json"), ("resume", directory.name)):
        given = (directory.name if part == "last" else part for part in arguments)
        one.command(*given, limit_s=90.0)
    if other.name not in one.command("runs", "--json").text:
        one.blame("wrong", "another run is no longer listed")


def _cut(name: str, percent: int, one: Try) -> None:
    _changed_file(one, name, lambda data: data[: len(data) * percent // 100])


def _newer(name: str, one: Try) -> None:
    _changed_file(
        one, name, lambda data: json.dumps({**json.loads(data), "schema_version": 99}).encode()
    )


def _cut_profile(name: str, percent: int, one: Try) -> None:
    """A profile's file that is cut off is refused, and never read in part."""
    shutil.copytree(one.references["adjoint"].out, one.out, dirs_exist_ok=True)
    path = one.out / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * percent // 100])
    for command in ("select", "export", "report"):
        extra = {"export": ("--format", "onediff"), "select": ("--choose-steps", "--max-loss", "1")}
        found = one.command(
            *(command, "adjoint.json", *extra.get(command, ("--format", "html"))),
            *("--output", f"{command}.out"),
        )
        needs = {"adjoint.effects.safetensors": ("select",)}.get(name, ("select", "export"))
        if found.code == 0 and command in needs:
            one.blame("wrong", f"{command} took it")


PARTS: Final = (Part("journals", "damaged journals and files", _KINDS, _cases),)
