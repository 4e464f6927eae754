"""Where compilers may put their work, and what else of a user they look for.

Inductor and Triton build libraries in the directory for temporary files and in the home, and load
them: not where a mount forbids programs (``noexec``). Inductor's command lines take no blanks.
"""

from __future__ import annotations

import getpass
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pixart_tui.caches.root import cache_root
from pixart_tui.domain.errors import RequestError
from pixart_tui.runs.paths import locks_root

_MORE_PLACES: Final = ("/tmp", "/var/tmp", "/dev/shm")


def why_not(directory: Path) -> str:
    """Why compiled code cannot be built in a directory and loaded from it; empty where it can."""
    if shlex.quote(str(directory)) != str(directory):
        return "its name holds blanks or other signs that compilers do not take"
    there = next(place for place in (directory, *directory.parents) if place.exists())
    if os.statvfs(there).f_flag & os.ST_NOEXEC:
        return "it is mounted noexec"
    if not os.access(there, os.W_OK | os.X_OK):
        return "it cannot be written to"
    if directory.exists() and directory.stat().st_uid != os.getuid():
        return "it belongs to another user"
    return ""


def working_root() -> Path:
    """A directory of this user's on this machine in which compiled code can be built and loaded.

    Raises:
        RequestError: There is none.
    """
    tried = list(dict.fromkeys(_places()))
    for place in tried:
        if not why_not(place):
            return place
    raise RequestError(
        "there is no directory that compilers can work in",
        cause=f"{tried[0]}: {why_not(tried[0])}",
        next_step="set TMPDIR or PIXART_TUI_LOCKS to one that is not noexec and has no blank "
        "in its name",
    )


def _places() -> Iterator[Path]:
    yield locks_root()
    for place in _MORE_PLACES:
        yield Path(place) / f"pixart-tui-{os.getuid()}"
    yield cache_root() / "work"


def compile_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker lacks so that whatever compiles can; none on a usual machine.

    Args:
        environ: Its environment.

    Raises:
        RequestError: Something is needed, and there is no directory for it.
    """
    chosen: dict[str, str] = {}
    if not _user_has_name():
        chosen["USER"] = str(os.getuid())
    home = os.path.expanduser("~")  # noqa: PTH111 - Path's own raises without a home
    if not Path(home).is_absolute():
        chosen["HOME"] = _made("home")
    if why_not(Path(tempfile.gettempdir()) / "torchinductor"):
        chosen["TMPDIR"] = _made("tmp")
    inductor = environ.get("TORCHINDUCTOR_CACHE_DIR")
    if why_not(Path(inductor)) if inductor else "TMPDIR" in chosen:
        chosen["TORCHINDUCTOR_CACHE_DIR"] = _made("inductor")
    triton = environ.get("TRITON_CACHE_DIR") or str(Path(home) / ".triton" / "cache")
    if "HOME" in chosen or why_not(Path(triton)):
        chosen["TRITON_CACHE_DIR"] = _made("triton")
    return chosen


def _made(name: str) -> str:
    directory = working_root() / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(directory)


def _user_has_name() -> bool:
    """Whether libraries find one: containers run under ids that no password file knows."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return False
    return True
