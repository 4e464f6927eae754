"""OneDiff's closed back-ends: whether they are here, and what to install where they are not.

What is said of wheels is what OneDiff's own pages say (siliconflow/onediff, README of the project
and of its nexfort back-end).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from pixart_tui.domain.deploying.deployment import OnediffBackend
from pixart_tui.domain.errors import RequestError

NEXFORT_CONFIG: Final = (
    '{"mode": "max-optimize:max-autotune:low-precision", "memory_format": "channels_last"}'
)
"""The arguments that OneDiff's script gives nexfort by default."""

_WHEELS: Final[Mapping[OnediffBackend, str]] = {
    "nexfort": "PyPI has no nexfort; its vendor's wheels are for torch 2.3.0 (+torch230cu121) or "
    "2.4.0 (+torch240cu121), CUDA 12.1, CPython 3.10",
    "oneflow": "PyPI's oneflow 0.7 is too old for OneDiff; the wheels that it wants are built for "
    "a CUDA version, whatever the torch: community_cu118, community_cu122",
}
_WAYS_OUT: Final[Mapping[OnediffBackend, str]] = {
    "nexfort": "use --compiler torch, which takes the same modes; for nexfort see OneDiff's README",
    "oneflow": "use --compiler torch, which takes nexfort's modes; for oneflow see OneDiff's "
    "README: pip install --pre oneflow -f .../oneflow_releases/...",
}


def require_backend(name: OnediffBackend) -> None:
    """Refuses a back-end that is not installed.

    Raises:
        RequestError: It, or OneDiff, is not there; it says which wheel is for which torch.
    """
    if not is_installed(name):
        raise not_installed(name)
    if not is_installed("onediffx"):
        raise RequestError(
            f"--compiler {name} needs onediff and onediffx",
            cause="they are an extra of this package",
            next_step="pip install 'pixart-tui[onediff]', or use --compiler torch",
        )


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    return find_spec(module) is not None


def not_installed(name: OnediffBackend, found: str = "it is not installed") -> RequestError:
    """The error where a back-end cannot be used.

    Args:
        name: The back-end.
        found: What was found of it.
    """
    here = f"here are torch {_torch_version()} and Python {platform.python_version()}"
    return RequestError(
        f"--compiler {name} cannot run: {found}",
        cause=f"{_WHEELS[name]}; {here}",
        next_step=_WAYS_OUT[name],
    )


def oneflow_does_not_quantize() -> RequestError:
    """The error where oneflow is asked to."""
    return RequestError(
        "--quantize cannot go with --compiler oneflow",
        cause="OneDiff quantizes with nexfort alone",
        next_step="use --compiler nexfort or torch, or leave out --quantize",
    )


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "(none)"
