"""What users, files and libraries wrote is text: no HTML in a report, no commands to a terminal."""

from __future__ import annotations

import html.parser
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.trying import Try

_MARK: Final = "zyx"
"""Every payload holds it, so that what is left of one is found."""

_SEQUENCES: Final = {
    "a title": f"\x1b]0;{_MARK}\x07",
    "a clipboard": f"\x1b]52;c;{_MARK}\x07",
    "a link": f"\x1b]8;;http://{_MARK}\x1b\\here\x1b]8;;\x1b\\",
    "a color": f"\x1b[31m{_MARK}\x1b[0m",
    "a cleared screen": f"\x1b[2J{_MARK}\x1b[H",
    "a C1 sequence": f"\x9b31m{_MARK}",
    "a device control string": f"\x1bP{_MARK}\x1b\\",
    "a bell and a backspace": f"\x07{_MARK}\x08\x08",
    "a reversed direction": f"\u202e{_MARK}\u202c",
    "markup": f"[bold]{_MARK}[/bold]",
    "a closing tag": f"[/INST] {_MARK}",
    "half a tag": f"{_MARK} [link=",
}
_TEXTS: Final = {
    "a script": f"<script>alert('{_MARK}')</script>",
    "an image": f'<img src=x onerror="{_MARK}()">',
    "a closed attribute": f'" onmouseover="{_MARK}()" x="',
    "a closed title": f"</title></style></svg><script>{_MARK}</script>",
    "a comment": f"--><script>{_MARK}</script><!--",
    "entities": f"&lt;script&gt;{_MARK}&#x3c;script&#62;",
    "CDATA": f"]]><script>{_MARK}</script>",
    "a data URL": f"javascript:{_MARK}",
}
_PLACES: Final = ("prompt", "model", "layer", "log")
_SHOWN: Final = (
    ("runs",),
    ("attach", "{run}", "--display", "plain"),
    ("attach", "{run}", "--display", "json"),
    ("select", "{run}", "--flops-share", "0.5", "--output", "chosen.json"),
    ("logs", "{run}"),
    ("report", "{run}", "--format", "markdown"),
)
_KEYS: Final = tuple((2.0 + 0.5 * n, key.encode()) for n, key in enumerate("12345678qq"))
_LAYER: Final = "proj_out"


def _cases(_references: References) -> list[Case]:
    found = [
        Case(f"{name} in a {place}", partial(_shown, name, place))
        for name in _SEQUENCES
        for place in _PLACES
    ]
    return found + [
        Case(f"HTML: {name} in a {place}", partial(_reported, name, place))
        for name in _TEXTS
        for place in _PLACES[:3]
    ]


def _planted(one: Try, text: str, place: str) -> Path:
    """An ended run that has a text where a prompt, the model or a layer's name stands."""
    directory = one.copy_of_run("adjoint")
    old = {"prompt": "red apple", "model": "synthetic:alpha-tiny", "layer": _LAYER}.get(place)
    if old is None:
        (directory / "worker.log").write_text(f"loading {text}\n")
        return directory
    quoted = json.dumps(old), json.dumps(text)
    for name in ("request.json", "events.jsonl"):
        path = directory / name
        path.write_text(path.read_text().replace(*quoted))
    return directory


def _shown(name: str, place: str, one: Try) -> None:
    payload = _SEQUENCES[name]
    directory = _planted(one, payload, place)
    for arguments in _SHOWN:
        filled = [part.replace("{run}", directory.name) for part in arguments]
        found = one.on_terminal(*filled)
        if _acts(payload, found.out):
            one.blame("wrong", f"{arguments[0]} sends it to the terminal")
    found = one.on_terminal("attach", directory.name, "--display", "tui", keys=_KEYS, limit_s=20.0)
    if _acts(payload, found.out):
        one.blame("wrong", "the dashboard sends it to the terminal")


def _acts(payload: str, out: bytes) -> bool:
    """Whether a control sequence is among what was sent."""
    begin = payload.partition(_MARK)[0]
    controls = any(ord(sign) < 32 or 127 <= ord(sign) < 160 or sign == "\u202e" for sign in begin)
    return controls and (begin + _MARK).encode() in out


class _Structure(html.parser.HTMLParser):
    """The tags and the names of attributes of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes down a tag."""
        self.found.append((tag, *(name for name, _ in attrs)))


def _reported(name: str, place: str, one: Try) -> None:
    """A report with the text has the tags of one with harmless words."""
    pages = []
    for text in ("harmless words", _TEXTS[name]):
        directory = _planted(one, text, place)
        one.command("report", directory.name, "--output", "report.html")
        one.command("report", directory.name, "--output", "report.md")
        page = one.out / "report.html"
        pages.append(_Structure(page.read_text()).found if page.exists() else [])
        shutil.rmtree(directory)
    if pages[0] != pages[1] or not pages[0]:
        one.blame("wrong", "the page has other tags, or none")


PARTS: Final = (Part("displays", "control sequences and HTML", ("adjoint",), _cases),)
