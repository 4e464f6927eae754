from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.memory import Prices


def test_every_switch_is_priced_on_the_tiny_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "CALLS", 2)
    monkeypatch.setattr(memory, "REPEATS", 1)
    file = tmp_path / "memory.json"
    setting = ["--model", "synthetic:alpha-tiny", "--device", "cpu", "--compiler", "none"]
    memory.main([*setting, "--json", str(file)])
    rows = Prices.model_validate_json(file.read_text()).rows
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows) == 1 + len(memory.OPTIONS)
    whole, strips = rows[:2]
    assert (whole.decode_max_difference, whole.image_max_difference) == (0, 0)
    assert 0 < strips.decode_max_difference < 1e-3
    in_8_bits = next(row for row in rows if row.asked == "int8-t5")
    assert in_8_bits.decode_max_difference == 0 < in_8_bits.image_max_difference
    budget = rows[-1]
    assert (budget.applied, budget.estimate_bytes is not None) == ("nothing", True)
    assert all(row.peak_bytes and row.e2e_s > row.decode_s for row in rows)
