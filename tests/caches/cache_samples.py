"""Compile caches for tests: files laid out as Inductor and Triton do, made by nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pixart_tui.caches.compile_cache import CompileCache
from pixart_tui.machine.machine_kind import MachineKind

KIND = MachineKind(
    device_name="Sample GPU 80GB",
    compute_capability="9.0",
    platform="Linux x86_64",
    versions={"torch": "2.11.0", "triton": "3.6.0", "CUDA": "13.0", "Python": "3.12"},
)
CACHE = CompileCache(KIND)
GROUP = "triton/ABC/__grp__kernel.json"


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def triton_kernel(directory: Path) -> dict[str, bytes]:
    """A kernel as Triton keeps it: the group names its files with absolute paths."""
    names = ("kernel.cubin", "kernel.json")
    paths = {name: str(directory / "triton" / "ABC" / name) for name in names}
    return {
        "triton/ABC/kernel.cubin": b"\x7fELF",
        "triton/ABC/kernel.json": b"{}",
        GROUP: json.dumps({"child_paths": paths}).encode(),
    }


def paths_in_group(directory: Path) -> list[Path]:
    group = json.loads((directory / GROUP).read_bytes())
    return [Path(path) for path in group["child_paths"].values()]
