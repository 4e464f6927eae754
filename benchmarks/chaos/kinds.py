"""The kinds of run, each small enough to take a second, and what an reference one gives."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.processes import Setting, command, ended, start_worker
from benchmarks.chaos.shim import Aim
from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.domain.events import (
    BenchRowUpdated,
    Event,
    ImagesCompared,
    JointMeasured,
    LayerMeasured,
    SampleMeasured,
)
from pixart_tui.domain.values import Value
from pixart_tui.runs.journal import JournalEntry, read_journal

MODEL: Final = "synthetic:alpha-tiny"
_SMALL: Final = ("--model", MODEL, "--steps", "2", "--device", "cpu", "--display", "none")
_APPLE: Final = ("--prompt", "red apple")
_ROBOT: Final = ("--prompt", "robot")
_CPU: Final = ("--device", "cpu", "--display", "none")
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "adjoint": (
        *("profile", *_SMALL, *_APPLE, *_ROBOT, "--draws", "2"),
        *("--output", "adjoint.json"),
    ),
    "exhaustive": (
        *("profile", *_SMALL, *_APPLE, "--method", "exhaustive", "--output", "fp8.json"),
    ),
    "int8": (
        *("profile", *_SMALL, *_APPLE, "--quant-type", "int8_dynamic", "--draws", "2"),
        *("--output", "int8.json"),
    ),
    "verify": (
        *("select", "{profile}", "--max-loss", "0.01", "--verify", "--rounds", "2", *_CPU),
        *("--repair-images", "2", "--report-images", "2", "--output", "verified.json"),
    ),
    "compare": ("compare", *_SMALL, *_APPLE, *_ROBOT, "--output", "pair.png"),
    "bench": (
        *("bench", *_SMALL, "--compiler", "none", "--quantize", "--repeats", "1", "--no-cold"),
        *("--json", "bench.json"),
    ),
    "export": (
        *("export", "{int8}", "--format", "diffusers", "--flops-share", "0.5", *_CPU),
        *("--output", "checkpoint"),
    ),
    "generate": (
        *("generate", *_SMALL, "--scheduler", "none", *_APPLE, "--warmups", "0"),
        *("--extra-call-kwargs", '{"use_resolution_binning": false}'),
        *("--output-image", "apple.png"),
    ),
}
"""Kind to command line; what stands in braces is a profile that an earlier one wrote."""

FEEDS: Final = {"{profile}": "adjoint", "{int8}": "int8"}
"""A place in a command line to the kind whose profile stands there."""

_VOLATILE: Final = frozenset(
    (
        *("run", "date", "command", "elapsed_s", "measuring_s", "created_s", "output"),
        *("unquantized", "quantized"),  # microseconds of a layer
        *("iterations_per_s", "transformer_s", "e2e_s", "peak_bytes", "warmup_run_s"),
    )
)
"""Fields that say when, how fast or for whom; all others have to be equal."""


class Reference(Value):
    """An reference run of a kind.

    Attributes:
        kind: The kind.
        directory: What it wrote lies in ``out``, its run in ``runs/ID``.
        run_id: Its id.
        seconds: How long its worker works once libraries are loaded.
        calls: How many changes of files that takes.
    """

    kind: str
    directory: Path
    run_id: str
    seconds: float
    calls: int

    @property
    def run(self) -> Path:
        """The run's directory."""
        return self.directory / "runs" / self.run_id

    @property
    def out(self) -> Path:
        """What it wrote for the user."""
        return self.directory / "out"


def filled(kind: str, root: Path) -> list[str]:
    """The command line of a kind, with the profiles of the reference runs below a folder."""
    feeds = {place: str(root / fed / "out" / f"{fed}.json") for place, fed in FEEDS.items()}
    return [feeds.get(part, part) for part in COMMANDS[kind]]


def reference(kind: str, root: Path) -> tuple[Reference, list[str]]:
    """Makes, or finds, the reference run of a kind.

    It is made by the real program, then once more in a forked worker. Both have to be equal.

    Args:
        kind: The kind.
        root: Where all of them lie; the environment already names its ``runs``.

    Returns:
        The run, and where the two differ.
    """
    directory = root / kind
    kept = directory / "reference.json"
    if kept.exists():
        return Reference.model_validate_json(kept.read_bytes()), []
    shutil.rmtree(directory, ignore_errors=True)
    out, runs = directory / "out", directory / "runs"
    out.mkdir(parents=True)
    run_id = _by_the_program(kind, runs, out)
    made = Reference(kind=kind, directory=directory, run_id=run_id, seconds=0, calls=0)
    again = directory / "again"
    copy = copied_run(made, again / "runs", again / "out")
    counted = directory / "calls"
    setting = Setting(again / "out", again / "runs", aim=Aim(), count_to=counted)
    started_s = time.monotonic()
    ended(start_worker(copy, setting), 120.0)
    seconds = time.monotonic() - started_s
    calls = int(counted.read_text()) if counted.exists() else 0
    made = made.replace(seconds=seconds, calls=calls)
    kept.write_text(made.model_dump_json())
    return made, differences(made, again / "out")


def _by_the_program(kind: str, runs: Path, out: Path) -> str:
    found = command(filled(kind, runs.parents[1]), Setting(out, runs), limit_s=300.0)
    if found.code:
        raise RuntimeError(f"the reference {kind} ended with {found.code}: {found.text}")
    ids = [entry.name for entry in runs.iterdir()]
    assert len(ids) == 1, ids
    return ids[0]


def copied_run(source: Reference, runs: Path, out: Path, run_id: str = "") -> Path:
    """The same request as a new run that writes somewhere else; returns its directory."""
    record: dict[str, Any] = json.loads((source.run / "request.json").read_bytes())
    record["id"] = run_id or source.run_id
    record["cwd"] = str(out)
    record["created_s"] = time.time()
    record["request"]["output"] = str(out / Path(record["request"]["output"]).name)
    directory = runs / str(record["id"])
    directory.mkdir(parents=True)
    out.mkdir(parents=True, exist_ok=True)
    (directory / "request.json").write_text(json.dumps(record, indent=1) + "\n")
    return directory


def differences(source: Reference, out: Path) -> list[str]:
    """Where what a run wrote is not what the reference one wrote."""
    wanted, found = contents(source.out), contents(out)
    odd = [f"{name} is new" for name in found if name not in wanted]
    return odd + [
        f"{name} {'differs' if name in found else 'is missing'}"
        for name in wanted
        if found.get(name) != wanted[name]
    ]


def leftovers(out: Path) -> list[str]:
    """Temporary files that stayed beside what was written."""
    if not out.is_dir():
        return []
    return sorted(path.name for path in out.iterdir() if path.name.startswith("."))


def contents(out: Path) -> dict[str, bytes]:
    """Every file but hidden ones with what must not differ from run to run."""
    return {
        path.relative_to(out).as_posix(): _content(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.relative_to(out).parts[0].startswith(".")
    }


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_stable(json.loads(data)), sort_keys=True).encode()
    if path.suffix == ".md":  # of a benchmark: its figures are speeds
        return re.sub(rb"[-=|\s]+", b" ", re.sub(rb"[0-9.:T+-]+", b"0", data))
    return hashlib.sha256(data).digest()


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stable(one) for name, one in value.items() if name not in _VOLATILE}
    return [_stable(one) for one in value] if isinstance(value, list) else value


Key = tuple[object, ...]
_KEYS: Final[dict[type[Any], Callable[[Any], Key | None]]] = {
    LayerMeasured: lambda event: ("layer", event.layer),
    SampleMeasured: lambda event: ("sample", event.sample.prompt, event.sample.seed),
    JointMeasured: lambda event: ("trial", event.trial.model_dump_json(exclude={"elapsed_s"})),
    ImagesCompared: lambda event: ("pair", event.prompt, event.seed),
    BenchRowUpdated: lambda event: (
        ("row", event.row.label) if event.row.status is RowStatus.DONE else None
    ),
}


def measured(journal: Path) -> list[Key]:
    """What a journal holds that a resumed run must not measure again, in order."""
    if not journal.exists():
        return []
    found = [_key(entry) for entry in read_journal(journal)]
    return [key for key in found if key is not None]


def _key(entry: JournalEntry) -> Key | None:
    event: Event = entry.event
    take = _KEYS.get(type(event))
    return take(event) if take else None
