"""The examples of the documentation run for real, in order, as a reader would type them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pixart_tui
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.profiles.profile import Profile
from tests.samples import QUANT_TYPE, conditions, layer, measurement

_DOC = Path(__file__).parents[2] / "docs" / "library.md"
_BLOCKS = re.findall(r"```python\n(.*?)```", _DOC.read_text(encoding="utf-8"), re.DOTALL)


def test_every_example_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in _BLOCKS:
        exec(compile(block, "docs/library.md", "exec"), names)
    told = capsys.readouterr().out
    assert "layers, predicted 1-SSIM" in told
    assert "none+int8_weightonly" in told
    assert (tmp_path / "apple.png").stat().st_size > 1000
    assert (tmp_path / "int8_weightonly.meta.json").is_file()


def test_importing_the_package_loads_no_torch_and_knows_its_names() -> None:
    code = (
        "import sys, pixart_tui; assert 'profile' in dir(pixart_tui); "
        "assert 'torch' not in sys.modules; "
        "from pixart_tui import profile; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="quantise"):
        pixart_tui.quantise  # noqa: B018


def _profile() -> Profile:
    return Profile(
        conditions=conditions(),
        layers=(layer("a"), layer("b")),
        excluded={},
        measurements=(measurement("a", 0.99), measurement("b", 0.9)),
    )


def test_several_rules_are_refused() -> None:
    with pytest.raises(RequestError, match="several rules"):
        pixart_tui.select(_profile(), flops_share=0.5, max_loss=0.1)


def test_a_cpu_is_not_asked_for_fp8_products_in_silence() -> None:
    selection = pixart_tui.select(_profile(), flops_share=0.5)
    assert selection.quant_type == QUANT_TYPE
    pipeline = pixart_tui.load("synthetic:alpha-tiny", device="cpu")
    with pytest.raises(RequestError, match="does not run with its real kernel"):
        pixart_tui.quantize(pipeline, selection)
    kept = selection.replace(kept_steps=KeptSteps(last=1))
    with pytest.raises(RequestError, match="keep steps"):
        pixart_tui.quantize(pipeline, kept)


def test_bench_takes_a_selection_of_several_types_that_keeps_steps() -> None:
    types = {"proj_out": "int8_dynamic", "transformer_blocks.0.ff.net.2": "int8_weightonly"}
    one = pixart_tui.select(_profile(), flops_share=0.5)
    changes = {"assignments": types, "chosen": tuple(types), "kept_steps": KeptSteps(last=1)}
    selection = one.replace(**changes)
    options: dict[str, Any] = {"compilers": ["none"], "device": "cpu", "layers": selection}
    with pytest.raises(RequestError, match="not chosen for int4_weightonly"):
        pixart_tui.bench("synthetic:alpha-tiny", quant_type="int4_weightonly", **options)
    result = pixart_tui.bench("synthetic:alpha-tiny", steps=2, repeats=1, cold=False, **options)
    row = result.rows[1]
    assert row.label == "none+mixed+keep-last-1"
    assert row.case.layers_by_type == {"int8_dynamic": 1, "int8_weightonly": 1}
