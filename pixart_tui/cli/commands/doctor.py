"""``pixart-tui doctor``."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from pixart_tui.cli.display.writing import console, say, say_json
from pixart_tui.cli.options.common import resolve_device
from pixart_tui.domain.errors import RequestError
from pixart_tui.runs.paths import runs_root

if TYPE_CHECKING:
    from pixart_tui.engine.capabilities import Check, QuantTypeSupport


@click.command(epilog="\b\nExamples:\n  pixart-tui doctor\n  pixart-tui doctor --json")
@click.option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")
@click.option("--json", "as_json", is_flag=True)
def doctor(device: str | None, as_json: bool) -> None:
    """Tell what this machine can do and what to install for the rest."""
    chosen = resolve_device(device)
    import torch

    from pixart_tui.engine.capabilities import check_compute, quant_type_support

    if chosen != "cpu" and not torch.cuda.is_available():
        say("torch does not see the GPU; looking at the CPU instead", err=True)
        chosen = "cpu"
    target = torch.device(chosen)
    checks = [*check_compute(target), *check_surroundings()]
    support = quant_type_support(target)
    if as_json:
        found = {
            "checks": [check.model_dump() for check in checks],
            "quant_types": [entry.model_dump() for entry in support],
        }
        say_json(found)
    else:
        _print(checks, support)


def check_surroundings() -> list[Check]:
    """The terminal, the runs' directory, and whether a logout ends what still runs."""
    return [_check_terminal(), _check_runs(), _check_logout()]


def _check_terminal() -> Check:
    from pixart_tui.engine.capabilities import Check

    columns, lines = shutil.get_terminal_size()
    over = "over SSH" if "SSH_CONNECTION" in os.environ else "local"
    inside = ", in tmux" if "TMUX" in os.environ else ""
    colors = os.environ.get("COLORTERM") or "256 colors or fewer (COLORTERM is not set)"
    terminal = os.environ.get("TERM", "none")
    fits = columns >= 80 and lines >= 24
    return Check(
        name="terminal",
        ok=fits and sys.stdout.isatty(),
        detail=f"{terminal}, {columns}x{lines}, {colors}, {over}{inside}",
        next_step="" if fits else "the dashboard needs 80x24",
    )


def _check_runs() -> Check:
    from pixart_tui.engine.capabilities import Check

    try:
        root = runs_root()
    except RequestError as error:
        return Check(name="runs", ok=False, detail=error.title, next_step=error.next_step)
    existing = next(parent for parent in (root, *root.parents) if parent.exists())
    writable = os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free / 2**30
    return Check(
        name="runs",
        ok=writable and free > 1,
        detail=f"{root}, {free:.0f} GiB free{'' if writable else ', not writable'}",
        next_step="" if writable else "set PIXART_TUI_RUNS to a directory of yours",
    )


def _check_logout() -> Check:
    """systemd-logind may kill a user's processes at logout (``logind.conf(5)``)."""
    from pixart_tui.engine.capabilities import Check

    lingers = Path("/var/lib/systemd/linger", _user()).exists()
    if lingers or not Path("/run/systemd/system").is_dir():
        return Check(name="logout", ok=True, detail="nothing ends your runs when you log out")
    found = {
        True: "logind ends your processes when you log out",
        False: "logind lets your processes go on when you log out",
        None: "logind's built-in default decides what a logout ends; it differs between systems",
    }
    kills = _kills_user_processes()
    advice = "loginctl enable-linger, or: systemd-run --user --scope pixart-tui ..."
    return Check(
        name="logout",
        ok=kills is False,
        detail=found[kills],
        next_step="" if kills is False else advice,
    )


def _user() -> str:
    """The user's name, or the number where no password file knows one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _kills_user_processes() -> bool | None:
    """Whether logind kills a user's processes at logout; None where it says nothing."""
    places = ("/usr/lib/systemd", "/etc/systemd", "/run/systemd")
    files = [
        *(Path(place, "logind.conf") for place in places),
        *(f for place in places for f in sorted(Path(place, "logind.conf.d").glob("*.conf"))),
    ]
    texts = [f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file()]
    settings = [x.strip().lower() for text in texts for x in text.splitlines()]
    values = [x.partition("=")[2].strip() for x in settings if x.startswith("killuserprocesses=")]
    return values[-1] in {"yes", "true", "1", "on"} if values else None


def _print(checks: list[Check], support: list[QuantTypeSupport]) -> None:
    table = Table("", "what", "found", "what to do", title="This machine", title_justify="left")
    for check in checks:
        table.add_row("✓" if check.ok else "✗", check.name, check.detail, check.next_step)
    console().print(table)
    types = Table("quant type", "runs", "why", title="Quant types", title_justify="left")
    for entry in support:
        why = entry.backend if entry.execution == "real" else entry.reason
        types.add_row(entry.quant_type, entry.execution, why)
    console().print(types)
