"""The page's pictures of the rooms are the contracts that import-linter holds the code to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[1]
_PICTURE: Final = re.compile(r"^```rooms (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Rooms = list[set[str]]
"""From top to bottom, those on one line together."""


def _on_the_page() -> dict[str, Rooms]:
    page = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {
        folder: [set(re.split(r"\s{2,}", line)[0].split(" | ")) for line in picture.splitlines()]
        for folder, picture in _PICTURE.findall(page)
    }


def _in_the_contracts() -> dict[str, Rooms]:
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return {
        folder: [set(line.split(" | ")) for line in contract["layers"]]
        for contract in contracts
        if contract["type"] == "layers"
        for folder in contract["containers"]
    }


def test_the_pictures_are_the_contracts() -> None:
    assert _on_the_page() == _in_the_contracts()


@pytest.mark.parametrize("folder", sorted(_in_the_contracts()))
def test_each_room_is_there(folder: str) -> None:
    place = _ROOT / folder.replace(".", "/")
    for room in set().union(*_in_the_contracts()[folder]):
        assert (place / room / "__init__.py").exists() or (place / f"{room}.py").exists(), room


def test_each_folder_of_the_package_is_a_room() -> None:
    packages = {path.parent.name for path in (_ROOT / "pixart_tui").glob("*/__init__.py")}

    assert packages <= set().union(*_in_the_contracts()["pixart_tui"])


def test_each_package_says_what_belongs_there_and_what_it_imports() -> None:
    silent = [
        str(path.parent.relative_to(_ROOT))
        for path in (_ROOT / "pixart_tui").glob("*/**/__init__.py")
        if "Imports " not in path.read_text(encoding="utf-8").split('"""')[1]
    ]

    assert silent == []
