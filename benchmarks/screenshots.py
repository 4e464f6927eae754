"""The README's pictures of the dashboard, from real runs of the embedded model.

    python -m benchmarks.screenshots [--runs FOLDER] [--output docs/screens]

Profiles, verifies, benchmarks and compares `pixart-emoji` with the commands a user types, in a
folder of its own, then opens the dashboard on those runs and saves what it shows. With ``--runs``
of an earlier call only the pictures are made anew.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixart_tui.tui.app.app import DashboardApp

SIZE: Final = (120, 36)
_SETTLE_S: Final = 2.0

COMMANDS: Final = (
    ("bench", "--compiler", "compile", "--quantize", "--repeats", "3", "--json", "bench.json"),
    ("profile", "--output", "fp8_e4m3.json"),
    (
        *("select", "fp8_e4m3.json", "--flops-share", "0.9", "--verify"),
        *("--output", "fp8_e4m3.selected.json"),
    ),
    (
        *("compare", "--model", "pixart-emoji", "--quant-submodules-config-path", "fp8_e4m3.json"),
        *("--top-percentage", "100", "--output", "compared.png"),
    ),
)
"""Each in its own run, with plain progress."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture.

    Attributes:
        name: The file's stem.
        keys: What is pressed, from the list of runs on.
        size: Of the terminal, columns and rows.
    """

    name: str
    keys: tuple[str, ...]
    size: tuple[int, int] = SIZE


SHOTS: Final = (
    Shot("runs", ("1",)),
    Shot("profile", ("2", *("down",) * 4)),
    Shot("layer", ("2", "enter")),
    Shot("select", ("3", "t")),
    Shot("bench", ("4",)),
    Shot("compare", ("5", "right"), (180, 40)),
)


def make_runs(folder: Path) -> None:
    """Runs the commands one after the other.

    Raises:
        CalledProcessError: One of them failed.
    """
    for words in COMMANDS:
        command = [sys.executable, "-m", "pixart_tui", *words, "--display", "plain"]
        subprocess.run(command, cwd=folder, check=True)


async def photograph(shot: Shot, output: Path) -> Path:
    """Opens the dashboard, presses the keys, saves the picture."""
    app = DashboardApp()
    async with app.run_test(size=shot.size) as pilot:
        await pilot.pause(_SETTLE_S)
        for key in shot.keys:
            await pilot.press(key)
            await pilot.pause()
        await pilot.pause(_SETTLE_S)
        picture = output / f"{shot.name}.svg"
        picture.write_text(app.export_screenshot(title="pixart-tui"), encoding="utf-8")
    return picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the runs, then the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, help="a folder that an earlier call made")
    parser.add_argument("--output", type=Path, default=Path("docs/screens"))
    asked = parser.parse_args(arguments)
    output = asked.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    folder = (asked.runs or Path(tempfile.mkdtemp(prefix="pixart-tui-screens-"))).resolve()
    os.environ["PIXART_TUI_RUNS"] = str(folder / "runs")
    os.environ["COLORTERM"] = "truecolor"
    if asked.runs is None:
        print(f"the runs are in {folder}")
        make_runs(folder)
    os.chdir(folder)
    for shot in SHOTS:
        print(asyncio.run(photograph(shot, output)))


if __name__ == "__main__":
    main()
