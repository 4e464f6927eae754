"""Reading a profile from its files."""

from __future__ import annotations

from pathlib import Path

from pixart_tui.domain import onediff_file, sidecar
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.profile import Profile


def read_profile_file(path: Path) -> Profile:
    """The profile of an onediffx JSON with its sidecar beside it.

    Raises:
        RequestError: One of the two cannot be read.
    """
    onediff_file.parse(_text(path, "profile with: pixart-tui profile --output FILE"), str(path))
    beside = Path(onediff_file.sidecar_path(path))
    text = _text(beside, "keep the .meta.json beside the .json, or profile again")
    return sidecar.parse(text, str(beside), sidecar.ProfileSidecar).profile


def _text(path: Path, next_step: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{path} cannot be read", cause, next_step) from error
