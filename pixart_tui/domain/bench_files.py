"""What a benchmark writes beside its JSON."""

from __future__ import annotations

from pathlib import PurePath


def bench_companions(output: PurePath) -> tuple[PurePath, PurePath]:
    """The Markdown with its table, and what is measured so far while it runs."""
    stem = output.name.removesuffix(".json")
    return output.with_name(f"{stem}.md"), output.with_name(f"{stem}.partial.json")
