"""Where a profile is written that names no --output."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.commands.profile import default_output

FP8 = "fp8_e4m3_e4m3_dynamic"


@pytest.mark.parametrize(
    ("model", "execution", "dtype", "expected"),
    [
        ("pixart-emoji", "simulated", "float32", "profiles/pixart-emoji/fp8_e4m3.json"),
        ("pixart-emoji", "real", "float32", "profiles/pixart-emoji/real/fp8_e4m3.json"),
        ("/models/xl/", "simulated", "bfloat16", "profiles/xl/bfloat16/fp8_e4m3.json"),
        (
            "synthetic:alpha",
            "real",
            "bfloat16",
            "profiles/synthetic-alpha/real-bfloat16/fp8_e4m3.json",
        ),
    ],
)
def test_each_way_of_measuring_has_a_file_of_its_own(
    model: str, execution: str, dtype: str, expected: str
) -> None:
    assert default_output(model, FP8, execution, dtype) == Path(expected)


def test_the_exhaustive_method_does_not_overwrite_the_fast_one() -> None:
    found = default_output("pixart-emoji", FP8, "simulated", "float32", "exhaustive")
    assert found == Path("profiles/pixart-emoji/exhaustive/fp8_e4m3.json")
