from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's files, nor waits for a device that another test holds."""
    monkeypatch.setenv("PIXART_TUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIXART_TUI_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture(autouse=True)
def _a_terminal_with_all_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screens look the same wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
