"""A layer's loss on each prompt and seed, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Final

from pixart_tui.domain.profiles.measurements import Measurement
from pixart_tui.tui.drawing import wording
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, fit_right, line, printable
from pixart_tui.tui.state.overview import Figures

_COLUMNS: Final = {"seed": 8, "1-SSIM": 12, "PSNR": 12, "latent MSE": 12, "counts": 10}
"""Of each prompt and seed, with their cells."""
_OF_IMAGES: Final = ("1-SSIM", "PSNR", "latent MSE")
_WHOLE: Final = "1"
_COUNTS_LESS: Final = 0.995
"""A weight that is told as less than 1."""
_PROMPT_LEAST: Final = 12
_PROMPT_MOST: Final = 60

_Row = tuple[Mapping[str, str], CellStyle]
_Key = tuple[str, int]


def sample_lines(shown: Figures, fqn: str, width: int) -> Iterator[Line]:
    """Each prompt and seed with what the layer does to its image.

    Args:
        shown: The figures of the quant type that is shown.
        fqn: The layer.
        width: Terminal cells of a line.
    """
    conditions = shown.profile.conditions
    adjoint = conditions.method == "adjoint"
    rows = _rows_of_effects(shown, fqn) if adjoint else _rows_of_images(shown, fqn)
    less = any(told["counts"] != _WHOLE for told, _ in rows.values()) if adjoint else False
    wanted = ("1-SSIM", *(("counts",) if less else ())) if adjoint else _OF_IMAGES
    columns = _columns_within(width, wanted, several_seeds=len(conditions.seeds) > 1)
    rest = width - 2 - sum(_COLUMNS[column] for column in columns)
    room = min(max(rest, _PROMPT_LEAST), _PROMPT_MOST)
    head = "".join(fit_right(column, _COLUMNS[column]) for column in columns)
    yield line(Span(fit(fit(" prompt", room + 1) + head, width).rstrip(), "head"))
    for seed in conditions.seeds:
        for prompt in conditions.prompts:
            told, cell_style = rows.get((prompt, seed), ({"1-SSIM": "to come"}, "muted"))
            cells = {"seed": str(seed), **told}
            text = f" {fit(printable(prompt), room)}"
            text += "".join(fit_right(cells.get(x, "-"), _COLUMNS[x]) for x in columns)
            yield line(Span(fit(text, width).rstrip(), cell_style))


def _columns_within(width: int, wanted: tuple[str, ...], *, several_seeds: bool) -> list[str]:
    """The columns that leave room for the prompts, the important ones first to be kept."""
    kept: set[str] = set()
    left = width - 2 - _PROMPT_LEAST
    for column in ("seed", *wanted) if several_seeds else (*wanted, "seed"):
        if _COLUMNS[column] <= left:
            kept.add(column)
            left -= _COLUMNS[column]
    return [column for column in _COLUMNS if column in kept]


def _rows_of_images(shown: Figures, fqn: str) -> dict[_Key, _Row]:
    measurements = (m for m in shown.profile.measurements if m.layer == fqn)
    return {(m.prompt, m.seed): _row_of_image(m) for m in measurements}


def _row_of_image(found: Measurement) -> _Row:
    if not found.finite:
        return dict.fromkeys(_OF_IMAGES, "NaN"), "bad"
    psnr = f"{found.psnr_db:.1f}" if found.psnr_db is not None else "equal"
    mse = f"{found.latent_mse:.2e}" if found.latent_mse is not None else "-"
    return {"1-SSIM": wording.loss(found.loss), "PSNR": psnr, "latent MSE": mse}, "text"


def _rows_of_effects(shown: Figures, fqn: str) -> dict[_Key, _Row]:
    if shown.effects is None:
        return {}
    place = [layer.fqn for layer in shown.profile.layers].index(fqn)
    losses = shown.effects.by_sample[:, place].tolist()
    weights = shown.effects.weights[:, place].tolist()
    found: dict[_Key, _Row] = {}
    for sample, loss, weight in zip(shown.samples, losses, weights, strict=True):
        told, cell_style = _effects_row(loss, weight)
        found[sample.prompt, sample.seed] = (told, cell_style)
    return found


def _effects_row(loss: float, weight: float) -> _Row:
    if isnan(loss):
        return {"1-SSIM": "NaN", "counts": _WHOLE}, "bad"
    less = weight < _COUNTS_LESS
    told = {"1-SSIM": wording.loss(loss), "counts": f"{weight:.2f}" if less else _WHOLE}
    return told, "warn" if less else "text"
