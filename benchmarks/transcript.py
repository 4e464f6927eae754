"""``python -m benchmarks.transcript``: the commands of OneDiff's PixArt page, run one by one.

They are run as they stand there, but for the program's name and local names in place of those of
the Hub, in a directory of their own; what they print is written to ``docs/transcript.md``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

from pixart_tui.engine.machine import describe_machine, describe_versions

_ROOT: Final = Path(__file__).resolve().parent.parent
_PAGE: Final = _ROOT / "docs" / "transcript.md"
_PROMPT: Final = '"product photography, world of warcraft orc warrior, white background"'
_BEST: Final = "max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs"

_REPLACED: Final = {
    "python3 ./benchmarks/text_to_image.py": "pixart-tui generate",
    "PixArt-alpha/PixArt-XL-2-1024-MS": "pixart-emoji",
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": "synthetic:sigma-tiny",
    "/path/to/fp8_e4m3.json": "fp8_e4m3.json",
}
"""What stands on the page, and what is run here."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the page.

    Attributes:
        title: What it is for.
        arguments: What follows the program's name, a line each, as on the page.
    """

    title: str
    arguments: tuple[str, ...]

    @property
    def backend(self) -> str:
        """The back-end that it names; empty for none."""
        return next((x for x in ("nexfort", "oneflow") if f"--compiler {x}" in self.text), "")

    @property
    def text(self) -> str:
        """The command as it is on the page."""
        return " \\\n".join(("python3 ./benchmarks/text_to_image.py", *self.arguments))

    @property
    def here(self) -> str:
        """The command as it is run here."""
        text = self.text
        for theirs, ours in _REPLACED.items():
            text = text.replace(theirs, ours)
        return text


def _common(output: str, model: str = "PixArt-alpha/PixArt-XL-2-1024-MS") -> tuple[str, ...]:
    return (
        *(f"--model {model}", "--scheduler none", "--steps 20"),
        *(f"--output-image {output}", f"--prompt {_PROMPT}"),
    )


def _config(mode: str) -> str:
    return f"""--compiler-config '{{"mode": "{mode}", "memory_format": "channels_last"}}'"""


_FP8: Final = ("--quantize", """--quantize-config '{"quant_type": "fp8_e4m3_e4m3_dynamic"}'""")
_NEXFORT: Final = (*_common("./pixart_alpha_compile.png"), "--compiler nexfort")

COMMANDS: Final = (
    Command("Without a compiler", (*_common("./pixart_alpha.png"), "--compiler none")),
    Command(
        "Sigma",
        (
            *_common("./pixart_sigma.png", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"),
            "--compiler none",
        ),
    ),
    Command("oneflow", (*_common("./pixart_alpha_compile.png"), "--compiler oneflow")),
    Command("nexfort", _NEXFORT),
    Command("nexfort, quicker to compile", (*_NEXFORT, _config("max-autotune"))),
    Command("nexfort, the best performance", (*_NEXFORT, _config(_BEST))),
    Command("nexfort, the quickest to compile", (*_NEXFORT, _config("jit:disable-runtime-fusion"))),
    Command(
        "Quantized",
        (
            *_common("./pixart_alpha_fp8.png"),
            "--compiler nexfort",
            _config(f"quant:{_BEST}"),
            *_FP8,
        ),
    ),
    Command(
        "Quantized by a layer file",
        (
            *_common("./pixart_alpha_fp8_90%.png"),
            *("--compiler nexfort", _config(f"quant:{_BEST}"), *_FP8),
            "--quant-submodules-config-path /path/to/fp8_e4m3.json",
        ),
    ),
)


def main() -> int:
    """Runs the commands and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_PAGE)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        layers = _ROOT / "profiles" / "pixart-emoji" / "fp8_e4m3.json"
        (directory / "fp8_e4m3.json").write_bytes(layers.read_bytes())
        lines = [*_head(), *(line for c in COMMANDS for line in _section(c, directory))]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {output}")
    return 0


def _head() -> Iterator[str]:
    machine, versions = describe_machine(torch.device("cpu")), describe_versions()
    known = ", ".join(f"{name} {versions[name]}" for name in ("torch", "diffusers", "python"))
    yield "# The commands of OneDiff's PixArt page, run here"
    yield ""
    yield (
        "Written by `python -m benchmarks.transcript`, which runs each of them: "
        f"{datetime.now(UTC):%Y-%m-%d}, {machine.summary}, {known}."
    )
    yield "Of each command only these words were replaced:"
    yield ""
    yield from ("| on the page | here |", "|---|---|")
    yield from (f"| `{theirs}` | `{ours}` |" for theirs, ours in _REPLACED.items())
    yield ""
    yield (
        "Where nexfort or oneflow is asked for and not installed, the error is shown, and then the "
        "same command with `--compiler torch`. A machine without a GPU simulates fp8, and its "
        "times say nothing of one, least of all where it is shared, as the one of this page was. "
        "`2>` marks what goes to standard error."
    )


def _section(command: Command, directory: Path) -> Iterator[str]:
    yield from ("", f"## {command.title}", "")
    yield from run_command(command.here, directory)
    if command.backend:
        again = command.here.replace(f"--compiler {command.backend}", "--compiler torch")
        yield ""
        yield from run_command(again, directory)


def run_command(command: str, directory: Path) -> Iterator[str]:
    """A command, what it printed, and its exit code."""
    print(command, file=sys.stderr)
    program = f'pixart-tui() {{ PYTHONPATH={_ROOT} {sys.executable} -m pixart_tui "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", program + command],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    yield "```console"
    yield f"$ {command}"
    yield from (f"2> {line}" for line in done.stderr.splitlines())
    yield from done.stdout.splitlines()
    yield f"$ echo $?\n{done.returncode}"
    yield "```"


if __name__ == "__main__":
    sys.exit(main())
