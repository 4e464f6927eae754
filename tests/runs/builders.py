"""Runs for tests, written with the real journal; no worker measured them."""

from __future__ import annotations

import json
from pathlib import Path

from pixart_tui.domain.events import AttemptStarted, Event, LayerMeasured, ProfilePlanned
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.identity import identify_self
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.run import Run
from tests.samples import conditions, layer, measurement


def new_run(tmp_path: Path, *events: Event, device: str = "cpu") -> Run:
    output = str(tmp_path / "out.json")
    run = create_run(ProfileRequest(method="exhaustive", output=output, device=device))
    append(run, *events)
    return run


def removed_run(tmp_path: Path) -> Run:
    """A run that the fast method left behind, with an event that nobody knows any more."""
    run = new_run(tmp_path, started(), planned("a"), measured("a"))
    request = json.loads(run.paths.request.read_text())
    request["request"] |= {"method": "fast", "cost_share": 0.1}
    run.paths.request.write_text(json.dumps(request))
    with run.paths.events.open("a") as journal:
        journal.write('{"v":1,"t":1.0,"event":{"type":"layer_probed","layer":"b"}}\n')
    return Run.open(run.paths.directory)


def append(run: Run, *events: Event) -> None:
    with JournalWriter(run.paths.events) as journal:
        for event in events:
            journal.append(event)
    run.poll()


def planned(*fqns: str, excluded: dict[str, str] | None = None) -> ProfilePlanned:
    return ProfilePlanned(
        machine=Machine(device="cpu", device_name="x", cpu_cores=2, memory_bytes=1, os="Linux"),
        versions={"torch": "2.13.0"},
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in fqns),
        excluded=excluded or {},
    )


def measured(fqn: str, ssim: float = 0.99, elapsed_s: float = 2.0) -> LayerMeasured:
    return LayerMeasured(layer=fqn, measurements=(measurement(fqn, ssim),), elapsed_s=elapsed_s)


def started(attempt: int = 1) -> AttemptStarted:
    return AttemptStarted(attempt=attempt)


def give_worker(run: Run, *, alive: bool, attempt: int = 1) -> None:
    """This very process, or one that is gone, stands for the worker."""
    me = identify_self(attempt)
    worker = me if alive else me.replace(start_ticks=me.start_ticks - 1)
    write_atomically(run.paths.worker, worker.model_dump_json())
