"""The committed profile of pixart-emoji against copies of itself that were changed here."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import pixart_tui
from benchmarks.profile_agreement import Agreement, agreement, main, read, table
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.profiles.score import LayerScore

_ROOT = Path(pixart_tui.__file__).parents[1]
COMMITTED = _ROOT / "benchmarks/results/method/profiles/exhaustive/fp8_e4m3.json"


@pytest.fixture(scope="module")
def committed() -> ProfileSidecar:
    return read(COMMITTED)


def _changed(
    profile: ProfileSidecar, change: Callable[[LayerScore], float | None]
) -> ProfileSidecar:
    """A copy whose layers have another SSIM, their intervals moved with it."""
    layers = []
    for score in profile.layers:
        ssim = change(score)
        if score.ssim is None or ssim is None:
            layers.append(score.replace(ssim=ssim))
            continue
        ends = {
            name: (getattr(score, name) or 0.0) + ssim - score.ssim
            for name in ("ssim_low", "ssim_high")
        }
        layers.append(score.replace(ssim=ssim, **ends))
    return profile.replace(layers=tuple(layers))


def test_a_profile_agrees_with_itself(committed: ProfileSidecar) -> None:
    found = agreement(committed, committed)
    assert found.layers == 86
    assert found.spearman == pytest.approx(1.0)
    assert found.top_overlap == {5: 1.0, 10: 1.0, 20: 1.0}
    assert (found.max_delta_ssim, found.within_noise, found.intervals_overlap) == (0, 1, 1)
    assert found.differing_conditions == {}
    assert found.deployment_floor[0] == pytest.approx(0.000523, rel=1e-2)


def test_a_shift_by_a_known_amount_is_found(committed: ProfileSidecar) -> None:
    found = agreement(committed, _changed(committed, lambda s: s.ssim and s.ssim - 0.01))
    assert found.median_delta_ssim == pytest.approx(0.01)
    assert found.max_delta_ssim == pytest.approx(0.01)
    assert found.spearman == pytest.approx(1.0)
    assert found.intervals_overlap < 0.1
    assert found.within_noise == 0


def test_reversed_ranks_are_told(committed: ProfileSidecar) -> None:
    found = agreement(committed, _changed(committed, lambda s: s.ssim and 1.9 - s.ssim))
    assert found.spearman == pytest.approx(-1.0)
    assert found.top_overlap == {5: 0.0, 10: 0.0, 20: 0.0}


def test_noise_moves_the_layers_below_it_and_not_those_above(committed: ProfileSidecar) -> None:
    rng = random.Random(0)
    noise = committed.measurement_noise or 0.0
    shaken = _changed(committed, lambda s: s.ssim and s.ssim + rng.uniform(-1, 1) * noise)
    found = agreement(committed, shaken)
    assert found.within_noise == 1
    assert found.spearman_above_noise is not None
    assert 0 < found.layers_above_noise < found.layers
    assert found.spearman < 0.999


def test_layers_that_only_one_has_measured_are_named(committed: ProfileSidecar) -> None:
    missing = committed.layers[3].layer.fqn
    second = _changed(committed, lambda s: None if s.layer.fqn == missing else s.ssim)
    found = agreement(committed, second)
    assert (found.layers, found.only_in_one) == (85, (missing,))


def test_what_was_measured_otherwise_is_told(committed: ProfileSidecar) -> None:
    real = committed.conditions.replace(execution="real")
    found = agreement(committed, committed.replace(conditions=real))
    assert found.differing_conditions == {"execution": ("simulated", "real")}
    assert "execution differs" in table(found)


@pytest.mark.parametrize("field", ["model_fingerprint", "quant_type"])
def test_two_models_or_quant_types_are_not_compared(committed: ProfileSidecar, field: str) -> None:
    other = committed.conditions.replace(**{field: "another"})
    with pytest.raises(RequestError, match="nothing to compare"):
        agreement(committed, committed.replace(conditions=other))


def test_the_program_prints_a_table_and_writes_json(
    committed: ProfileSidecar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted = _changed(committed, lambda s: s.ssim and s.ssim - 0.01)
    (tmp_path / "b.meta.json").write_text(sidecar.render(shifted))
    output = tmp_path / "out.json"
    assert main([str(COMMITTED), str(tmp_path / "b.json"), "--output", str(output)]) == 0
    assert re.search(r"^\|delta SSIM\| median +1\.00e-02$", capsys.readouterr().out, re.MULTILINE)
    written = json.loads(output.read_text())
    assert set(Agreement.__dataclass_fields__) < set(written)
    assert written["top_overlap"]["10"] == 1.0
    assert written["profiles"][0] == str(COMMITTED)


def test_a_file_that_is_not_there_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(COMMITTED), str(tmp_path / "none.json")]) == 2
    assert "none.meta.json cannot be read" in capsys.readouterr().err
