from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pixart_tui.runs.process import launch
from pixart_tui.runs.process.launch import Child
from tests.fork_server import ForkServer

_HERE: Final = Path(__file__).parent

# Before torch is imported, here or in a process that a test starts: the models are so small that a
# second thread costs more than it brings, and the other core has tests of its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Inductor would start processes that import torch to compile a handful of kernels.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# Of tests that go on behind a shell, or under nohup, all processes would ignore these for ever.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first: at the end no core waits for the other."""
    slow = [_HERE / "worker", _HERE / "cli"]
    items.sort(key=lambda item: not any(folder in item.path.parents for folder in slow))


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's files, nor waits for a device that another test holds."""
    monkeypatch.setenv("PIXART_TUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIXART_TUI_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture(autouse=True)
def _a_terminal_with_all_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screens look the same wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(autouse=True)
def _flags_of_torch() -> Iterator[None]:
    """Global flags that a deployment sets end with the test that deployed."""
    backends = sys.modules.get("torch.backends")
    if backends is None:
        yield
        return
    from pixart_tui.engine.compilers.torch_apply import flag, set_flag
    from pixart_tui.engine.compilers.torch_plan import FLAGS

    before = {name: flag(name) for name in FLAGS}
    yield
    for name, value in before.items():
        set_flag(name, value)


@pytest.fixture(scope="session")
def _fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _forked_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that tests start are forked, so that they need not import torch.

    Those of tests that are marked ``real_processes`` are not.
    """
    if request.node.get_closest_marker("real_processes"):
        return

    def fork(*asked: Any) -> Child:
        server: ForkServer = request.getfixturevalue("_fork_server")
        return server.launch(*asked)

    monkeypatch.setattr(launch, "launcher", fork)


@pytest.fixture(scope="module")
def forked_workers(_fork_server: ForkServer) -> Iterator[None]:
    """The same for what a fixture of a module starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "launcher", _fork_server.launch)
        yield
