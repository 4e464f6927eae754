"""The joint loss of a selection, predicted from single layers and from how they interact.

To second order 1 - SSIM is a quadratic form of what a disturbance does to the image. Disturbances
of several layers add up in the image, so their joint loss is the sum of each layer's own loss and
of a product for each pair: positive where two errors point the same way, negative where they
cancel. Without the products the prediction is the sum: errors that have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pixart_tui.domain.selecting.knapsack import Floats
from pixart_tui.domain.selecting.menu import Option
from pixart_tui.domain.values import Value

OptionKey = tuple[str, str]


class Interactions(Value):
    """How options disturb the image together, in 1 - SSIM.

    Attributes:
        options: (target, quant type) of each row and column.
        matrix: Symmetric; the diagonal is an option's own loss, and twice an entry beside it is
            what a pair adds to the sum of its own losses.
        prompts: What it was measured on.
        seeds: One image per prompt and seed.
    """

    options: tuple[OptionKey, ...]
    matrix: tuple[tuple[float, ...], ...]
    prompts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def between(self, keys: Sequence[OptionKey]) -> Floats:
        """The matrix of some options, in that order; 0 for a pair of which nothing is known."""
        rows = {key: row for row, key in enumerate(self.options)}
        known = [row for row, key in enumerate(keys) if key in rows]
        found = np.zeros((len(keys), len(keys)))
        places = [rows[keys[row]] for row in known]
        found[np.ix_(known, known)] = np.array(self.matrix)[np.ix_(places, places)]
        return found


class Calibration(Value):
    """What joint measurements have taught about a prediction.

    Attributes:
        scale: Measured loss over predicted loss, 1 before anything is measured.
        measured: Joint measurements that it was fitted to.
    """

    scale: float = 1.0
    measured: int = 0


UNCALIBRATED: Final = Calibration()


def loss_matrix(options: Sequence[Option], interactions: Interactions | None) -> Floats:
    """The quadratic form whose value is a selection's predicted loss, before any scale.

    Own losses are those of the profile; pairs that were not measured add nothing.
    """
    own = np.array([option.loss for option in options])
    if interactions is None:
        return np.diag(own)
    matrix = interactions.between([option.key for option in options])
    np.fill_diagonal(matrix, own)
    return matrix


def predicted_loss(
    options: Iterable[Option],
    interactions: Interactions | None = None,
    calibration: Calibration | None = None,
) -> float:
    """1 - SSIM that these options are predicted to cost together."""
    chosen = list(options)
    form = float(loss_matrix(chosen, interactions).sum())
    return max(form, 0.0) * (calibration.scale if calibration else 1.0)


def fitted(pairs: Sequence[tuple[float, float]]) -> Calibration:
    """The scale that (predicted, measured) losses agree on: the geometric mean of their ratios."""
    ratios = [measured / predicted for predicted, measured in pairs if predicted > 0 < measured]
    if not ratios:
        return UNCALIBRATED
    return Calibration(scale=float(np.exp(np.mean(np.log(ratios)))), measured=len(ratios))
