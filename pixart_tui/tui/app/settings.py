"""Reads the configuration file: the dashboard's look and its keys."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.text_files import read_text
from pixart_tui.domain.values import Value
from pixart_tui.runs.paths import directory_of_user

Theme = Literal["dark", "light", "ansi-dark", "ansi-light"]
Images = Literal["auto", "kitty", "sixel", "halfcell", "none"]

_CONFIG: Final = ConfigDict(extra="forbid", strict=True)


class Display(Value):
    """How the dashboard looks.

    Attributes:
        theme: The colors; the ``ansi`` themes take the terminal's own.
        images: How pictures are drawn.
        ascii: Whether everything is drawn in ASCII.
        mouse: Whether the dashboard takes the mouse from the terminal.
    """

    model_config = _CONFIG

    theme: Theme = "dark"
    images: Images = "auto"
    ascii: bool = False
    mouse: bool = True


class Settings(Value):
    """The content of the configuration file.

    Attributes:
        display: How the dashboard looks.
        keys: Keys by the name of what they do; several keys are separated by commas.
    """

    model_config = _CONFIG

    display: Display = Display()
    keys: dict[str, str] = {}


def settings_path() -> Path:
    """``PIXART_TUI_CONFIG``, or ``config.toml`` in the user's configuration directory."""
    override = os.environ.get("PIXART_TUI_CONFIG")
    if override:
        return Path(override)
    found = directory_of_user("config")
    # Without a home there is no such file.
    return found / "config.toml" if found is not None else Path(os.devnull)


def read_settings(path: Path) -> Settings:
    """The settings in a file; the usual ones where there is none.

    Raises:
        RequestError: It cannot be read, is not TOML, or has an unknown setting.
    """
    advice = "mend it, or move it away"
    if not path.exists():
        return Settings()
    try:
        content = tomllib.loads(read_text(path, advice))
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path} cannot be read", cause=str(error), next_step=advice) from error
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: ValidationError) -> RequestError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    known = {"extra_forbidden": "unknown setting"}
    cause = f"{place}: {known.get(first['type'], first['msg'])}"
    return RequestError(
        f"{path} cannot be used", cause=cause, next_step="mend it: docs/dashboard.md lists all"
    )
