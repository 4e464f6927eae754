from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.sidecar import EffectsFile
from pixart_tui.runs.results.effects_file import (
    FIRST_CALLS,
    effects_path,
    read_effects,
    write_effects,
)
from tests.adjoint_effects import Floats, sample_effects, sample_of
from tests.samples import QUANT_TYPE

_LOSSES = {QUANT_TYPE: [0.1, None, 0.3], "int8_dynamic": [0.2, 0.1, None]}
_BESIDE = "fp8_e4m3.meta.json"


def _write(folder: Path) -> EffectsFile:
    samples = [sample_effects(prompt, _LOSSES, draws=4, calls=5) for prompt in ("robot", "cat")]
    return write_effects(folder / "fp8_e4m3.effects.safetensors", samples)


def test_the_file_lies_beside_the_profile() -> None:
    assert effects_path(Path("/x/fp8.e4m3.json")) == Path("/x/fp8.e4m3.effects.safetensors")


def test_every_effect_comes_back_bit_for_bit(tmp_path: Path) -> None:
    record = _write(tmp_path)
    assert record.name == "fp8_e4m3.effects.safetensors"
    found = read_effects(tmp_path / _BESIDE, record)
    assert set(found) == {QUANT_TYPE, "int8_dynamic", FIRST_CALLS}
    for quant_type in _LOSSES:
        assert found[quant_type].shape == (2, 4, 3, 5)
        assert found[quant_type].dtype == np.float32
        for at, prompt in enumerate(("robot", "cat")):
            sample = sample_effects(prompt, _LOSSES, draws=4, calls=5)
            expected = sample.effects[quant_type].array()
            assert found[quant_type][at].tobytes() == expected.tobytes()
    assert np.isnan(found[QUANT_TYPE][:, :, 1]).all()
    assert found[FIRST_CALLS].tolist() == [[0.0] * 4] * 2


def test_the_same_effects_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert _write(tmp_path / "a") == _write(tmp_path / "b")


def test_a_sample_with_fewer_draws_is_filled_up_with_nan(tmp_path: Path) -> None:
    few: Floats = np.full((2, 3, 4), 1.0)
    many: Floats = np.full((5, 3, 4), 2.0)
    samples = [sample_of(few), sample_of(many, prompt="cat", first_calls=(0, 0, 2, 2, 2))]
    found = read_effects(tmp_path / _BESIDE, write_effects(tmp_path / "e.safetensors", samples))
    effects, first_calls = found[QUANT_TYPE], found[FIRST_CALLS]
    assert effects.shape == (2, 5, 3, 4)
    assert (effects[0, :2] == 1).all()
    assert np.isnan(effects[0, 2:]).all()
    assert (effects[1] == 2).all()
    assert first_calls[0, :2].tolist() == [0, 0]
    assert np.isnan(first_calls[0, 2:]).all()
    assert first_calls[1].tolist() == [0, 0, 2, 2, 2]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    record = _write(tmp_path)
    (tmp_path / record.name).unlink()
    with pytest.raises(RequestError, match="cannot be read") as raised:
        read_effects(tmp_path / _BESIDE, record)
    assert "No such file" in raised.value.cause
    assert ".meta.json" in raised.value.next_step


def test_another_file_under_its_name_is_refused(tmp_path: Path) -> None:
    record = _write(tmp_path)
    path = tmp_path / record.name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RequestError, match=f"is not what {_BESIDE} was written with"):
        read_effects(tmp_path / _BESIDE, record)


@pytest.mark.parametrize("kept", [0, 4, 100, -3])
def test_a_file_that_was_cut_off_before_it_was_hashed_is_refused(tmp_path: Path, kept: int) -> None:
    record = _write(tmp_path)
    path = tmp_path / record.name
    content = path.read_bytes()[:kept]
    path.write_bytes(content)
    with pytest.raises(RequestError, match="is not what"):
        read_effects(tmp_path / _BESIDE, record)
    matching = record.replace(sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(RequestError, match="is no safetensors file"):
        read_effects(tmp_path / _BESIDE, matching)
