"""What a row's process is started with."""

from __future__ import annotations

from pathlib import Path

from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.worker.bench.process import case_environment


def test_caches_are_the_rows_own(tmp_path: Path) -> None:
    found = case_environment(tmp_path, MemoryOptions())
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TMPDIR"):
        assert Path(found[name]).is_relative_to(tmp_path)
        assert Path(found[name]).is_dir()
    assert "expandable" not in found.get("PYTORCH_ALLOC_CONF", "")


def test_little_memory_is_taken_in_segments_that_grow(tmp_path: Path) -> None:
    found = case_environment(tmp_path, MemoryOptions(vae="strips"))
    assert found["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
