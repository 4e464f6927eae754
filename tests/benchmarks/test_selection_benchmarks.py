"""The pure parts of the benchmarks of selections; the figures are made up here."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from benchmarks.selection_plot import plot
from benchmarks.selection_quality import mean_ratio, off_by
from benchmarks.ssim_form import SsimForm, products
from pixart_tui.engine.image_metrics import ssim_per_image


def _point(share: float, loss: float, predicted: float) -> dict[str, Any]:
    verified = {"loss": loss, "low": 0.8 * loss, "high": 1.2 * loss}
    made = {"flops_share": share, "predicted": predicted, "verified": verified}
    return made | {"predicted_interval": (None, None)}


def _row(share: float, ours: float) -> dict[str, Any]:
    return {
        "share": share,
        "onediff_rule": _point(share, 2e-3, 1e-3),
        "layers": _point(share, ours, 1e-3),
        "layers_and_steps": _point(share, ours / 10, 1e-4),
    }


_ROWS = [_row(0.5, 1e-3), _row(0.9, 1.5e-3), _row(0.25, 1e-9)]


def test_the_mean_ratio_is_over_the_targets_shares_alone() -> None:
    assert mean_ratio(_ROWS, "layers") == pytest.approx((0.5 + 0.75) / 2)


def test_predictions_and_their_intervals_are_compared_with_what_was_verified() -> None:
    found = off_by(_ROWS[:2], ("layers",))
    assert found["worst"] == pytest.approx(1 / 3)
    assert "intervals_that_hold" not in found
    close, far = (dict(_ROWS[0]["layers"], predicted_interval=x) for x in ((5e-4, 2e-3), (0, 1e-5)))
    assert off_by([{"layers": close}, {"layers": far}], ("layers",))["intervals_that_hold"] == 0.5


def test_the_plot_is_an_svg_with_a_line_for_each_series() -> None:
    root = ElementTree.fromstring(plot({"by_flops": _ROWS}))
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 3


def test_the_form_is_ssims_second_order_and_bilinear() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    one, other = (1e-3 * torch.randn(2, 3, 32, 32, generator=generator) for _ in range(2))
    form = SsimForm(images)
    sketches = torch.stack([form.sketch(d) for d in (one, other, one + other)])
    found = products(sketches)
    loss = sum(1 - s for s in ssim_per_image(images + one, images)) / 2
    assert float(found[0, 0]) == pytest.approx(loss, rel=0.1)
    together = found[0, 0] + found[1, 1] + 2 * found[0, 1]
    assert float(found[2, 2]) == pytest.approx(float(together), rel=1e-4)
