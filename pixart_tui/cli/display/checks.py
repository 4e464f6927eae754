"""Prints how a third party's profile compares with a fresh measurement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixart_tui.domain.events import ProfileChecked
from pixart_tui.domain.profiles.profile_check import Disagreement

_SHOWN: Final = 10


def check_lines(checked: ProfileChecked) -> Iterator[str]:
    """The verdict, and the layers that disagree."""
    found, name = checked.found, Path(checked.source).name
    verdict = "agrees with" if found.agrees else "DISAGREES with"
    speeds = (
        f"{found.speeds} speeds" if found.speeds else "no speed, as not both timed one kind of GPU"
    )
    yield f"{name} {verdict} what was measured: {found.compared} errors compared, {speeds}"
    for names, words in (
        (found.not_in_file, "measured, and not in the file"),
        (found.not_measured, "in the file, and cannot be quantized here"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{words}: {', '.join(names[:3])}{more}"
    for difference in found.disagreements[:_SHOWN]:
        yield _words(difference)
    if len(found.disagreements) > _SHOWN:
        yield f"and {len(found.disagreements) - _SHOWN} more layers"


def _words(found: Disagreement) -> str:
    if found.what == "speed":
        return f"{found.fqn}: {found.claimed:.2f}x as fast claimed, {found.measured:.2f}x measured"
    return f"{found.fqn}: 1-SSIM {found.claimed:.2e} claimed, {found.measured:.2e} measured"
