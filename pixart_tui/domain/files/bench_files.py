"""Names the files that a benchmark writes beside its JSON."""

from __future__ import annotations

from pathlib import PurePath


def is_bench_markdown(text: str) -> bool:
    """Whether a file is a benchmark's Markdown: a table, and the versions under it."""
    return not text.strip() or ("\n| --- |" in text and "\n- python " in text)


def bench_companions(output: PurePath) -> tuple[PurePath, PurePath]:
    """The Markdown with its table, and what is measured so far while it runs."""
    stem = output.name.removesuffix(".json")
    # Not `with_name`, which raises where there is no name: "." is refused elsewhere.
    return output.parent / f"{stem}.md", output.parent / f"{stem}.partial.json"
