"""``pixart-tui cache save | load | clear | info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixart_tui.caches.cache_archive import load_archive, save_archive
from pixart_tui.caches.compile_cache import Amount, CompileCache, clear_all, compile_root
from pixart_tui.cli.display.writing import say, say_json
from pixart_tui.cli.options.common import check_output, resolve_device
from pixart_tui.machine.machine_kind import MachineKind

_device_option = click.option(
    "--device", help="cpu, cuda or cuda:N; by default a GPU if there is one."
)
_file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group(
    epilog="""\b
Examples:
  pixart-tui cache info
  pixart-tui cache save h100.tar.gz
  pixart-tui cache load h100.tar.gz && pixart-tui bench --warm-cache"""
)
def cache() -> None:
    """Keep what the compilers made, and carry it to machines of the same kind."""


@cache.command(epilog="\b\nExample:\n  pixart-tui cache save h100.tar.gz")
@_file_argument
@_device_option
def save(file: Path, device: str | None) -> None:
    """Write this machine's compiled code to FILE."""
    found = save_archive(_cache(device), check_output(file))
    say(f"wrote {file}: {_words(found)}")


@cache.command(epilog="\b\nExample:\n  pixart-tui cache load h100.tar.gz")
@_file_argument
@_device_option
def load(file: Path, device: str | None) -> None:
    """Add the compiled code in FILE to this machine's.

    It holds code that this machine will run: load only files of people you trust.
    """
    target = _cache(device)
    found = load_archive(target, file)
    say(f"loaded {_words(found)} into {target.directory}")


@cache.command(epilog="\b\nExamples:\n  pixart-tui cache clear\n  pixart-tui cache clear --all")
@click.option("--all", "every", is_flag=True, help="Other kinds of machines and versions too.")
@_device_option
def clear(every: bool, device: str | None) -> None:
    """Remove this machine's compiled code; it is made again when it is needed."""
    target = _cache(device)
    removed = clear_all() if every else target.clear()
    say(f"removed {_words(removed)} from {compile_root() if every else target.directory}")


@cache.command(epilog="\b\nExample:\n  pixart-tui cache info --json | jq .size_bytes")
@click.option("--json", "as_json", is_flag=True)
@_device_option
def info(as_json: bool, device: str | None) -> None:
    """Tell where the compiled code lies, how much there is and what it is made for."""
    target = _cache(device)
    if as_json:
        say_json(_describe(target))
    else:
        say(f"{target.directory}: {_words(target.amount)}")
        say(f"made for {_kind_words(target.kind)}")


def _cache(device: str | None) -> CompileCache:
    return CompileCache.of(resolve_device(device))


def _describe(target: CompileCache) -> dict[str, Any]:
    amount = target.amount
    return {
        "directory": str(target.directory),
        "files": amount.files,
        "size_bytes": amount.size_bytes,
        **target.kind.model_dump(),
    }


def _kind_words(kind: MachineKind) -> str:
    versions = (f"{name} {value}" for name, value in kind.versions.items() if value)
    capability = f"compute capability {kind.compute_capability}" if kind.compute_capability else ""
    return ", ".join(filter(None, (kind.device_name, capability, kind.platform, *versions)))


def _words(amount: Amount) -> str:
    files = f"{amount.files} file" + ("" if amount.files == 1 else "s")
    return f"{files}, {amount.size_bytes} bytes"
