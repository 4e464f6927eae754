"""A model's directory has one name, however it is spelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.asking import request_of

_SPELLINGS = (".", "./", "../xl", "../xl/", "sub/..", "../link", "../link/sub/..", "~", "~/", "{}")


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_every_spelling_means_one_model(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "xl"
    (model / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(model)
    monkeypatch.chdir(model)
    monkeypatch.setenv("HOME", str(model))
    words = ["profile", "--device", "cpu", "--model", spelling.format(model)]
    request = request_of(words)
    assert request.model == str(model)
    assert request.output == str(model / "profiles" / "xl" / "fp8_e4m3.json")


def test_the_directory_above_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "models" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    request = request_of(["profile", "--device", "cpu", "--model", ".."])
    assert request.output == str(here / "profiles" / "models" / "fp8_e4m3.json")
