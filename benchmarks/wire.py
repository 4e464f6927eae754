"""What the dashboard costs on the wire, and how soon it shows: in a pseudo terminal, on real runs.

python -m benchmarks.wire [--screen NAME=KIND[:KEYS]]... [--seconds N] [--output FILE]

A screen is what the dashboard shows of a run of that kind after those keys were pressed. A bench
runs for real meanwhile. A profile is made for real first, by the adjoint method, and its
journal is then replayed for each size in its own time, from its first sample on, so that every
size sees the same. Both take the embedded model, on the CPU. Runs lie in a directory of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.journals import LONG_EVENTS, described, long_run, replayed
from benchmarks.on_screen import Arrivals
from benchmarks.pty_dashboard import ROOT, PtyDashboard
from benchmarks.sampling_cost import sampling_cost
from pixart_tui.domain.requests import BenchRequest, ProfileRequest
from pixart_tui.machine.machine_kind import machine_kind
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.paths import runs_root
from pixart_tui.runs.process import control
from pixart_tui.runs.run import Run, RunState
from pixart_tui.tui.app.running import keep_numpy_to_one_core

SIZES: Final = ((80, 24), (120, 36), (200, 50))
SCREENS: Final = ("Profile=profile", "Bench=bench")
LIMITS: Final = {
    "bytes_per_s": {"80x24": 2048, "200x50": 6144},
    "repaints_per_s": 4,
    "first_paint_s": 0.6,
    "cpu_share": 0.05,
    "delay_s": 1.0,
    "long_open_s": 1.0,
}
_SETTLE_S: Final = 3.0
_POLL_S: Final = 0.5
_PAGES: Final = 20
_START_SIZE: Final = (120, 36)
_SCORINGS: Final = 10
_PAGE_DOWN: Final = "\x1b[6~"
_PAINTED: Final = "1 Runs"


@dataclass(frozen=True, slots=True)
class Screen:
    """What is looked at: a run of a kind, and the keys that lead from its tab to the screen."""

    name: str
    kind: str
    keys: str

    @classmethod
    def parse(cls, text: str) -> Screen:
        """Reads ``NAME=KIND`` or ``NAME=KIND:KEYS``."""
        name, _, rest = text.partition("=")
        kind, _, keys = rest.partition(":")
        if kind not in ("profile", "bench"):
            raise argparse.ArgumentTypeError(f"{text}: the kind is profile or bench")
        return cls(name, kind, keys)


def watched(run: Run, screen: Screen, size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """What one viewer of a run that works sends and takes."""
    columns, rows = size
    with PtyDashboard(run.paths.directory.parent, ["attach", run.id], columns, rows) as dashboard:
        dashboard.require(f"run {run.id}")
        dashboard.press(screen.keys)
        dashboard.follow(_SETTLE_S)
        arrivals = Arrivals(run.paths.directory, screen.kind)
        before = (dashboard.sent_bytes, dashboard.repaints, dashboard.cpu_s)
        started_s = time.perf_counter()
        while (left_s := started_s + seconds - time.perf_counter()) > 0:
            dashboard.follow(min(0.02, left_s))
            arrivals.look(dashboard.lines)
        elapsed_s = time.perf_counter() - started_s
        after = (dashboard.sent_bytes, dashboard.repaints, dashboard.cpu_s)
        delay_s = arrivals.summary()
    sent, repaints, cpu_s = (now - then for now, then in zip(after, before, strict=True))
    return {
        "screen": screen.name,
        "size": f"{columns}x{rows}",
        "seconds": round(elapsed_s, 2),
        "bytes_per_s": round(sent / elapsed_s, 1),
        "repaints_per_s": round(repaints / elapsed_s, 2),
        "cpu_share": round(cpu_s / elapsed_s, 4),
        "delay_s": delay_s,
    }


def first_paint(run: Run, repeats: int, *, near: bool = False) -> dict[str, Any]:
    """From starting the command to the tabs, and to the run's own content, on the screen."""
    found = [_one_start(run, near=near) for _ in range(repeats)]
    return {name: _spread([one[name] for one in found]) for name in found[0]}


def _one_start(run: Run, *, near: bool) -> dict[str, float]:
    runs = run.paths.directory.parent
    with PtyDashboard(runs, ["attach", run.id], *_START_SIZE, near=near) as dashboard:
        dashboard.require(_PAINTED)
        painted = (dashboard.received_s - dashboard.started_s, dashboard.cpu_s)
        dashboard.require(f"run {run.id}")
        content = (dashboard.received_s - dashboard.started_s, dashboard.cpu_s)
        return {
            "first_paint_s": round(painted[0], 3),
            "first_paint_cpu_s": round(painted[1], 3),
            "content_s": round(content[0], 3),
            "content_cpu_s": round(content[1], 3),
        }


def paging(run: Run, size: tuple[int, int] = (120, 36)) -> dict[str, float]:
    """Milliseconds from pressing page-down, or home at the end, to the end of the repaint."""
    runs = run.paths.directory.parent
    with PtyDashboard(runs, ["attach", run.id], *size) as dashboard:
        dashboard.require(f"run {run.id}")
        dashboard.follow(1.0)
        found = []
        for number in range(_PAGES):
            repaints = dashboard.repaints
            pressed_s = time.perf_counter()
            dashboard.press(_PAGE_DOWN if number % 2 == 0 else "\x1b[H")
            if dashboard.follow(2.0, lambda drawn=repaints: dashboard.repaints > drawn):  # type: ignore[misc]
                found.append(1000 * (time.perf_counter() - pressed_s))
            dashboard.follow(0.1)
    return _spread([round(one, 1) for one in found])


def reading(run: Run) -> dict[str, float]:
    """Seconds of processor time to read a whole journal, and to look again at nothing new."""
    started_s = time.process_time()
    fresh = Run.open(run.paths.directory)
    fresh.poll()
    read_s = time.process_time() - started_s
    started_s = time.process_time()
    fresh.poll()
    return {
        "read_cpu_s": round(read_s, 3),
        "again_cpu_s": round(time.process_time() - started_s, 6),
    }


def scoring(run: Run) -> list[dict[str, float]]:
    """Milliseconds of processor time to score all layers of each quant type."""
    run.poll()
    found = []
    for profile in run.snapshot.profiling.profiles:
        profile.scores()
        started_s = time.thread_time()
        for _ in range(_SCORINGS):
            profile.scores()
        spent_ms = 1000 * (time.thread_time() - started_s) / _SCORINGS
        samples = len(profile.effects)
        found.append(
            {"layers": len(profile.layers), "samples": samples, "cpu_ms": round(spent_ms, 1)}
        )
    return found


@contextmanager
def benching() -> Iterator[Run]:
    """A real benchmark that has begun its timed calls; cancelled at the end."""
    threads = len(os.sched_getaffinity(0))
    request = BenchRequest(output=_output(), compilers=("none",), repeats=1000, threads=threads)
    run = _started(request)
    try:
        while not any(row.figures.e2e_s for row in run.snapshot.benchmark.rows.values()):
            _require_alive(run)
            time.sleep(_POLL_S)
            run.poll()
        yield run
    finally:
        control.cancel(run)


def profiled() -> Run:
    """A real profile, done."""
    threads = len(os.sched_getaffinity(0))
    run = _started(ProfileRequest(output=_output(), threads=threads))
    while run.state() is not RunState.DONE:
        _require_alive(run)
        time.sleep(_POLL_S)
        run.poll()
    return run


def kept(directory: Path) -> Run:
    """A copy of a profile that was made before."""
    return Run.open(Path(shutil.copytree(directory, runs_root() / directory.name)))


def _started(request: ProfileRequest | BenchRequest) -> Run:
    run = create_run(request)
    control.start_worker(run)
    return run


def _output() -> str:
    return f"{os.environ['PIXART_TUI_RUNS']}-output.json"


def _require_alive(run: Run) -> None:
    if run.state() in (RunState.FAILED, RunState.CANCELLED, RunState.STALE):
        raise RuntimeError(f"the run ended as {run.state()}: {run.log_tail()}")


def _spread(found: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(found),
        "min": min(found),
        "max": max(found),
        "n": len(found),
    }


def measure(
    screens: Sequence[Screen], seconds: float, repeats: int, recorded: Path | None
) -> dict[str, Any]:
    """Everything, on runs in the directory that the environment names."""
    profile = profiled() if recorded is None else kept(recorded)
    rows = list(_watched_profile(profile, screens, seconds))
    if of_bench := [one for one in screens if one.kind == "bench"]:
        with benching() as run:
            for screen in of_bench:
                rows += [_told(watched(run, screen, size, seconds)) for size in SIZES]
    found = {
        "replayed": described(profile),
        "watched": rows,
        "sampling": sampling_cost(runs_root()),
        "start": first_paint(profile, repeats),
        "start_near": first_paint(profile, repeats, near=True),
        "page_ms": paging(profile),
        "scoring": scoring(profile),
    }
    long = long_run(profile)
    return found | {
        "long_journal": {
            "events": LONG_EVENTS,
            "bytes": long.paths.events.stat().st_size,
            **reading(long),
            **first_paint(long, repeats),
            "page_ms": paging(long),
        },
    }


def _watched_profile(
    profile: Run, screens: Sequence[Screen], seconds: float
) -> Iterator[dict[str, Any]]:
    for number, screen in enumerate(one for one in screens if one.kind == "profile"):
        for size in SIZES:
            with replayed(profile, f"{number:04d}{size[0]:04d}") as run:
                yield _told(watched(run, screen, size, seconds))


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(row, file=sys.stderr, flush=True)
    return row


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--screen", action="append", type=Screen.parse, dest="screens")
    parser.add_argument("--seconds", type=float, default=20.0, help="of watching, each size")
    parser.add_argument("--repeats", type=int, default=5, help="starts of the dashboard")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks/results/terminal/wire-cpu.json"
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        help="directory of a finished profile run to replay, instead of making one",
    )
    arguments = parser.parse_args()
    keep_numpy_to_one_core()  # as in the viewer, where scores are worked out
    screens = arguments.screens or [Screen.parse(text) for text in SCREENS]
    with tempfile.TemporaryDirectory() as place:
        # Locks of its own too, so that no other run on this machine keeps it waiting.
        os.environ |= {"PIXART_TUI_RUNS": f"{place}/runs", "PIXART_TUI_LOCKS": f"{place}/locks"}
        found = measure(screens, arguments.seconds, arguments.repeats, arguments.recorded)
    result = {
        "machine": _machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("textual", "rich", "pydantic", "pyte")},
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(arguments),
        "limits": LIMITS,
        **found,
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def _command(arguments: argparse.Namespace) -> str:
    """The command line without the places of this machine."""
    screens = "".join(f" --screen {s.name}={s.kind}:{s.keys!r}" for s in arguments.screens or ())
    recorded = " --recorded RUN" if arguments.recorded else ""
    length = f" --seconds {arguments.seconds:g} --repeats {arguments.repeats}"
    return f"python -m benchmarks.wire{screens}{length}{recorded}"


def _machine() -> dict[str, Any]:
    kind = machine_kind("cpu")
    return {
        "device_name": kind.device_name,
        "cpu_cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "os": f"{platform.system()} {platform.release()}",
    }


if __name__ == "__main__":
    main()
