from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.domain.files.model_paths import is_model_directory, model_path


def test_the_home_of_nobody_is_no_directory_and_no_fault() -> None:
    assert model_path("~nouser/x") == Path("~nouser/x")
    assert not is_model_directory("~nouser/x")


def test_the_own_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_path("~/x") == tmp_path / "x"
    assert is_model_directory("~")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_no_directory(name: str) -> None:
    assert not is_model_directory(name)
