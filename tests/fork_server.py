"""Starts the package's processes by forking one that has imported torch and diffusers.

A forked process becomes a true child of the one that asked for it: its parent, exit code, session
and files are those of a process that was started afresh. It lacks a command line of its own, and
libraries that read the environment while they are imported saw that of the first test.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, NoReturn

from pixart_tui.runs.process import launch

_PR_SET_CHILD_SUBREAPER: Final = 36
_REQUEST_BYTES: Final = 1 << 18
_IMPORTED: Final = (
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "pixart_tui.engine.bench.call",
    "pixart_tui.engine.bench.measure",
    "pixart_tui.engine.compilers.progress",
    "pixart_tui.engine.loading",
    "pixart_tui.worker.attempt",
    "pixart_tui.worker.bench.messages",
    "pixart_tui.worker.jobs.profile",
)


class Forked:
    """A forked process, followed as ``subprocess.Popen`` follows one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self._reap(0)
        assert code is not None
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                found, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # someone else took its exit code
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode


class ForkServer:
    """The process that is forked; it ends when its owner does."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONUTF8": "1"},
                cwd=Path(__file__).parents[1],
            )
        self._children: list[Forked] = []
        self._lock = threading.Lock()

    def launch(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: IO[bytes] | None,
    ) -> Forked:
        """Does what ``pixart_tui.runs.process.launch.execute`` does."""
        self._children = [child for child in self._children if child.poll() is None]
        mode = os.umask(0)
        os.umask(mode)
        request = [os.getpid(), mode, str(Path.cwd()), module, list(arguments), dict(environment)]
        outputs = [1, 2] if log is None else [log.fileno()] * 2
        with self._lock:  # tests start several at once, from threads
            _adopt_orphans(True)
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], outputs)
                answer = self._socket.recv(64)
            finally:
                _adopt_orphans(False)
        assert answer, "the fork server died"
        child = Forked(int(answer))
        self._children.append(child)
        return child

    def close(self) -> None:
        """Ends the server; it holds nothing that is worth waiting for."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _adopt_orphans(adopt: bool) -> None:
    """Has a process whose parent dies become this one's child, or not any more."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def _serve(own: socket.socket) -> None:
    """Forks a child for every request; returns when the owner is gone, and in no child."""
    while True:
        data, outputs, _, _ = socket.recv_fds(own, _REQUEST_BYTES, 2)
        if not data:
            return
        owner, mode, directory, module, arguments, environment = json.loads(data)
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            child = os.fork()
            if child:
                os.write(writing, array.array("i", [child]).tobytes())
                os._exit(0)
            while os.getppid() != owner:
                time.sleep(0.001)
            os.umask(mode)
            _become(directory, environment, outputs)
            _run(module, arguments)
        # The owner becomes the child's parent when the process between them ends.
        os.waitpid(between, 0)
        pid = array.array("i", os.read(reading, 4))[0]
        for handle in (reading, writing, *outputs):
            os.close(handle)
        own.send(str(pid).encode())


def fork_here(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None
) -> Forked:
    """Does what ``execute`` does, in a process that was forked and so has imported everything."""
    outputs = [1, 2] if log is None else [log.fileno()] * 2
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return Forked(child)
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(str(Path.cwd()), environment, outputs)
        _run(module, arguments)
    finally:
        os._exit(1)  # never back into the frames of the process that was forked


def _run(module: str, arguments: Sequence[str]) -> NoReturn:
    """Runs a module as ``python -m`` does, to the end of the process."""
    sys.argv = [module, *arguments]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(directory: str, environment: Mapping[str, str], outputs: Sequence[int]) -> None:
    """Gives a forked process all that a fresh one would have."""
    os.setsid()
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for target, source in enumerate(outputs, start=1):
        os.dup2(source, target)
    os.closerange(3, 4096)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    tempfile.tempdir = None
    launch.launcher = fork_here


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _IMPORTED:
        importlib.import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
