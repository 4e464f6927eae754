"""OneDiff files that give exactly a selection at another top_percentage, read by real onediffx."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.exporting.onediff import names_needed, render_exact
from pixart_tui.domain.files.selection_files import selection_record
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting import onediff_rule
from pixart_tui.domain.selecting.selection import select
from tests.samples import QUANT_TYPE, conditions, layer, measurement
from tests.stand_ins import nexfort


def _record(count: int, chosen_percentage: float) -> SelectionSidecar:
    names = [f"transformer_blocks.{i}.attn1.to_q" for i in range(count)]
    profile = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in names),
        excluded={},
        measurements=tuple(measurement(fqn, 0.5 + i / 100) for i, fqn in enumerate(names)),
    )
    chosen = select(profile.scores(), QUANT_TYPE, "top-percentage", chosen_percentage)
    return selection_record([profile], chosen, ["fp8_e4m3.json"])


@pytest.mark.parametrize("chosen_percentage", [10, 50, 90, 100])
def test_onediffx_at_its_default_quantizes_exactly_the_selection(
    chosen_percentage: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = nexfort.install(tmp_path, monkeypatch)
    from onediffx import quantize_pipe

    record = _record(20, chosen_percentage)
    path = tmp_path / "fp8_e4m3.json"
    path.write_text(render_exact(record, 90))

    quantize_pipe(SimpleNamespace(transformer=nn.Module()), str(path), quant_type=QUANT_TYPE)

    (call,) = recorded.of("quantize")
    assert call["allowed"] == list(record.selection.chosen)


def test_ssim_is_the_order_there_and_measured_ssim_the_truth() -> None:
    record = _record(20, 50)
    content = json.loads(render_exact(record, 90))
    for fqn, ssim in record.measured_ssim.items():
        assert content[fqn]["measured_ssim"] == ssim
    ordered = [entry["ssim"] for entry in content.values()]
    assert ordered == sorted(set(ordered), reverse=True)
    assert all("measured_ssim" not in content[fqn] for fqn in record.selection.kept[:1])


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(50, 1000).map(lambda tenths: tenths / 10))
def test_the_number_of_names_gives_exactly_the_number_of_layers(count: int, p: float) -> None:
    total = names_needed(count, p)
    ssims = {str(i): 1 - i / 1e6 for i in range(total)}
    assert len(onediff_rule.chosen_layers(ssims, p)) == count


@pytest.mark.parametrize("percentage", [0, -1, 101])
def test_a_percentage_that_cannot_be_is_refused(percentage: float) -> None:
    with pytest.raises(RequestError, match="out of range"):
        names_needed(3, percentage)


@pytest.mark.parametrize("percentage", [1e-300, 1e-3])
def test_a_file_of_a_hundred_thousand_names_and_more_is_refused(percentage: float) -> None:
    with pytest.raises(RequestError, match="names") as caught:
        names_needed(56, percentage)
    assert "at most 100000" in caught.value.cause
