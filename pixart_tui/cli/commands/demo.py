"""``pixart-tui demo``: the main job on the embedded model, as ``make demo`` runs it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from pixart_tui.cli.commands.select import write_selection
from pixart_tui.cli.display.dashboard import open_dashboard
from pixart_tui.cli.display.follow import finish, follow, going_on
from pixart_tui.cli.display.selections import print_selection
from pixart_tui.cli.display.starting import start
from pixart_tui.cli.options.common import check_output, is_interactive
from pixart_tui.domain.errors import CancelledError, PixartTuiError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.requests import DEFAULT_TOP_PERCENTAGE, BenchRequest, ProfileRequest
from pixart_tui.domain.selecting.selection import select
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.runs.process.control import cancel
from pixart_tui.runs.run import Run, RunState

_WRITTEN = (
    "fp8_e4m3.json",
    "fp8_e4m3.meta.json",
    "fp8_e4m3.effects.safetensors",
    "fp8_e4m3.selected.json",
    "fp8_e4m3.selected.meta.json",
    "fp8_e4m3.bench.json",
    "fp8_e4m3.bench.md",
)


@click.command(epilog="\b\nExample:\n  pixart-tui demo --output-dir build/demo")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
)
def demo(output_dir: Path) -> int:
    """Profile, select and benchmark the embedded model: the whole path in a few minutes.

    The benchmark waits for the profile, so both go on if this terminal closes.
    """
    output = check_output(output_dir / "fp8_e4m3.json")
    for name in _WRITTEN:
        (output.parent / name).unlink(missing_ok=True)
    profile_run, bench_run = _start(output)
    if is_interactive():
        return _watch_in_dashboard(profile_run, bench_run, output)
    try:
        exit_code = follow(profile_run, "plain")
    except (PixartTuiError, CancelledError):
        _give_up(bench_run)
        raise
    if profile_run.state() is not RunState.DONE:
        return exit_code  # the reader is gone; both runs go on
    _select(profile_run, output)
    return follow(bench_run, "plain")


def _start(output: Path) -> tuple[Run, Run]:
    """Both runs; the device's lock makes the second wait for the first."""
    device, threads = default_device(), default_threads()
    profile = start(ProfileRequest(device=device, threads=threads, output=str(output)))
    bench = start(
        BenchRequest(
            device=device,
            threads=threads,
            quantize=True,
            quant_submodules_config_path=str(output),
            output=str(output.with_name("fp8_e4m3.bench.json")),
            command=f"pixart-tui demo --output-dir {output.parent}",
        )
    )
    return profile, bench


def _watch_in_dashboard(profile_run: Run, bench_run: Run, output: Path) -> int:
    open_dashboard([profile_run.id, bench_run.id])
    for run in (profile_run, bench_run):
        run.poll()
        if not run.state().is_finished:
            return going_on(run)
        finish(run)
        if run is profile_run:
            _select(profile_run, output)
    return 0


def _give_up(bench_run: Run) -> None:
    """The benchmark has no profile to wait for; it may have noticed already."""
    with suppress(PixartTuiError):
        cancel(bench_run)


def _select(profile_run: Run, output: Path) -> None:
    profile = profile_run.snapshot.profiling.profile
    assert profile is not None
    quant_type = profile.conditions.quant_type
    selection = select(profile.scores(), quant_type, "top-percentage", DEFAULT_TOP_PERCENTAGE)
    target = Path(onediff_file.selected_path(output))
    write_selection([profile], selection, [output.name], target)
    print_selection(selection, target)
