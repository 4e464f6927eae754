"""Starts the package's own modules as processes: workers and the children of a benchmark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol


class Child(Protocol):
    """A started process, as far as its parent deals with it."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None before that is known."""
        ...

    def poll(self) -> int | None:
        """Returns the exit code, or None while it runs."""
        ...

    def wait(self) -> int:
        """Waits for its end and returns the exit code."""
        ...

    def kill(self) -> None:
        """Sends it SIGKILL."""
        ...


Launcher = Callable[[str, Sequence[str], Mapping[str, str], IO[bytes] | None], Child]
"""Starts a module with arguments, all of its environment, and a file for what it prints."""


def execute(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    """Starts a fresh interpreter on a module, in a session of its own and without input.

    Args:
        module: Its full name.
        arguments: What stands in ``sys.argv`` after the name.
        environment: All of its environment variables.
        log: Where its output goes; None for where the caller's goes.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


launcher: Launcher = execute
"""Starts every process of the package. The tests set another one, which imports torch once."""


def launch(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes] | None = None,
) -> Child:
    """Starts a module in a process with a session of its own and no input.

    Args:
        module: Its full name.
        arguments: What stands in ``sys.argv`` after the name.
        environment: All of its environment variables.
        log: Where its output goes; None for where the caller's goes.

    Raises:
        OSError: The process could not be started.
    """
    return launcher(module, arguments, environment, log)
