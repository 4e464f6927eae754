"""A benchmark's child process: started, followed line by line, and never left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.process.launch import Child, launch
from pixart_tui.worker.bench.messages import CaseFailed, CaseSpec, Message, parse_message

_POLL_S: Final = 0.1


def case_environment(caches: Path, memory: MemoryOptions) -> dict[str, str]:
    """The environment of a child whose compilers keep everything in one directory.

    Inductor keeps its precompiled C++ headers under the directory for temporary files, whatever
    its cache directory is; without ``TMPDIR`` a cold start would find those of earlier runs.

    Args:
        caches: The directory.
        memory: Where memory is to be saved, torch's allocator takes it in segments that grow: what
            is freed can be used whatever is asked for next.
    """
    places = {
        "TORCHINDUCTOR_CACHE_DIR": caches / "inductor",
        "TRITON_CACHE_DIR": caches / "triton",
        "TMPDIR": caches / "tmp",
    }
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    chosen = {name: str(place) for name, place in places.items()}
    if memory != MemoryOptions():
        chosen["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    return dict(os.environ) | chosen


def answers(
    spec: CaseSpec, environment: dict[str, str], check: Callable[[], None]
) -> Iterator[Message]:
    """Runs a child and yields its messages as they come.

    However this ends (an error, a cancellation, the caller gives up), the child's whole process
    group is dead afterwards.

    Args:
        spec: What it does; ``spec.messages`` is the file it writes to.
        environment: All of its environment variables.
        check: Called while waiting; may raise to give up.

    Raises:
        WorkError: The child died without saying why.
    """
    messages = Path(spec.messages)
    spec_path = messages.with_suffix(".spec.json")
    spec_path.write_text(spec.model_dump_json())
    messages.write_bytes(b"")
    failed = False
    with _process(spec_path, environment) as process:
        for message in _follow(process, messages, check):
            failed = failed or isinstance(message, CaseFailed)
            yield message
        if process.returncode and not failed:
            raise _silent_death(process.returncode)


@contextmanager
def _process(spec_path: Path, environment: dict[str, str]) -> Iterator[Child]:
    # A session of its own, so that Inductor's compile workers die with it.
    process = launch("pixart_tui.worker.bench.case", [str(spec_path)], environment)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _follow(process: Child, path: Path, check: Callable[[], None]) -> Iterator[Message]:
    with path.open("rb") as file:
        torn = b""
        while True:
            ended = process.poll() is not None
            *lines, torn = (torn + file.read()).split(b"\n")
            for line in lines:
                yield parse_message(line)
            if ended:
                return
            check()
            time.sleep(_POLL_S)


def _silent_death(returncode: int) -> WorkError:
    if returncode < 0:
        name = signal.Signals(-returncode).name
        likely = "; perhaps memory ran out" if name == "SIGKILL" else ""
        return WorkError(f"the process of this row was ended by {name}{likely}")
    return WorkError(f"the process of this row ended with exit code {returncode}")
