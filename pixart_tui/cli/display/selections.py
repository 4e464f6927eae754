"""Selections, their verification and their curve as text on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.table import Table

from pixart_tui.cli.display.paths import relative
from pixart_tui.cli.display.writing import console
from pixart_tui.domain.layers.choice import spell_types
from pixart_tui.domain.layers.roles import is_attention
from pixart_tui.domain.selecting.pareto import Curve
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import JointLoss, Verification
from pixart_tui.domain.words import count
from pixart_tui.reporting.selection_text import bound_text, kept_text

_BAR: Final = 40


def print_selection(selection: Selection, path: Path) -> None:
    """Prints a selection, and how to use its file."""
    out = console()
    for line in (*_chosen_lines(selection), *_time_lines(selection)):
        out.print(line, highlight=False)
    out.print(_use(selection, path), highlight=False, soft_wrap=True)


def print_verification(selection: Selection, found: Verification) -> None:
    """Prints the joint measurements of a selection."""
    out = console()
    for line in (
        *_chosen_lines(selection, verified=True),
        *_time_lines(selection),
        *_loss_lines(selection, found),
    ):
        out.print(line, highlight=False)


def print_pareto(curve: Curve) -> None:
    """A curve as a table with bars."""
    what = "linear FLOPs" if curve.axis == "flops" else "time that can be saved"
    table = Table(title=f"1-SSIM over share of {what}, predicted", title_justify="left")
    for heading in ("", "share", "layers", "1-SSIM"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column("", no_wrap=True)
    points = [("selected", point) for point in curve.ours]
    points += [("OneDiff's rule", point) for point in curve.onediff_rule]
    most = max((point.predicted for _, point in points), default=0.0) or 1.0
    for name, point in sorted(points, key=lambda row: row[1].share):
        cells = (f"{point.share:.1%}", str(point.layers), f"{point.predicted:.2e}")
        table.add_row(name, *cells, "#" * round(_BAR * point.predicted / most))
    console().print(table)


def _chosen_lines(selection: Selection, *, verified: bool = False) -> Iterator[str]:
    targets = (*selection.chosen, *selection.kept)
    blocks = sum(map(is_attention, targets))
    types = selection.layer_types
    into = types[0] if len(types) == 1 else "several quant types" if types else "no quant type"
    yield (
        f"{selection.rule} {selection.parameter:g}: {len(selection.layers)} of "
        f"{len(targets) - blocks} layers, {selection.flops_share:.1%} of the linear FLOPs in {into}"
    )
    if selection.attention_share is not None:
        yield (
            f"attention in fp8: {len(selection.attention)} of {count(blocks, 'block')}, "
            f"{selection.attention_share:.1%} of its FLOPs"
        )
    if selection.kept_steps:
        yield kept_text(selection)
    if len(types) > 1:
        yield f"layers by quant type: {spell_types(selection.choice.layers_by_type)}"
    if selection.rule == "max-loss":
        gain = "measured time" if selection.objective == "time" else "FLOPs: not all were timed"
        yield f"chosen for the most {gain}"
    if not verified:
        predicted = f"{selection.predicted_loss:.1e}{bound_text(selection)}"
        yield f"predicted 1-SSIM, not verified: {predicted}"


def _time_lines(selection: Selection) -> Iterator[str]:
    """Describes the time that a selection saves, where the layers were timed."""
    share, saved_s = selection.time_share, selection.predicted_time_saved_s
    idle = selection.no_speedup
    if share is None or saved_s is None or idle is None:
        return
    effect = f"{'save' if saved_s >= 0 else 'cost'} {1000 * abs(saved_s):.3f} ms a step"
    what = "linear time" if selection.attention_share is None else "time of layers and attention"
    yield f"{share:.1%} of the measured {what}; predicted to {effect}"
    if idle:
        taken = len(set(idle) & set(selection.chosen))
        yield f"layers that quantizing makes no faster: {len(idle)}, {taken} of them chosen"


def _loss_lines(selection: Selection, found: Verification) -> Iterator[str]:
    repairs = sum(trial.purpose == "repair" for trial in found.trials)
    yield f"predicted 1-SSIM: {found.predicted:.2e}{bound_text(selection)}"
    yield f"on the repair set: {_loss(found.repair)}, after {repairs} selections measured"
    yield f"verified 1-SSIM: {_loss(found.verified)}, other prompts and seeds"
    if found.holds is not None:
        holds = "holds" if found.holds else "does not hold there"
        yield f"the budget of {found.budget:g} {holds}"
    if found.onediff_rule and found.onediff_rule.measured:
        yield f"OneDiff's rule at that share of FLOPs: {_loss(found.onediff_rule.measured)}"
    if found.every_step and found.every_step.measured:
        yield f"the same layers at every step: {_loss(found.every_step.measured)}"


def _loss(measured: JointLoss) -> str:
    interval = f"95% interval {measured.low:.2e} - {measured.high:.2e}"
    return f"{measured.loss:.2e} ({interval}, {measured.images} images)"


def _use(selection: Selection, path: Path) -> str:
    written = f"wrote {relative(str(path))}"
    if not selection.fits_onediff:
        return f"{written}, our own JSON: OneDiff's holds one quant type, at every step"
    return f"{written}; use it with top_percentage 100"
