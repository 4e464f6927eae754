from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import mixed_file, onediff_file
from pixart_tui.domain.files.layer_file import LayerFile, read
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.selection import Selection
from tests.samples import QUANT_TYPE

_INT8 = "int8_dynamic"
_MIXED = Selection(
    rule="max-loss",
    parameter=0.01,
    quant_type="",
    assignments={"b": _INT8, "a": QUANT_TYPE},
    chosen=("b", "a"),
    kept=(),
    kept_steps=KeptSteps(last=1, numbers=(3,)),
    at_every_step=("a",),
    flops_share=0.5,
    predicted_loss=0.001,
)


def _read(folder: Path, text: str) -> LayerFile:
    path = folder / "layers.json"
    path.write_text(text)
    return read(path)


def test_a_mixed_selection_is_known_by_its_format_and_says_all_by_itself(tmp_path: Path) -> None:
    file = _read(tmp_path, mixed_file.render(_MIXED, {"a": 0.9, "b": 1.2}))
    assert file.mixed == _MIXED.choice
    assert list(file.choice(QUANT_TYPE, 90, NO_STEPS).assignments) == ["b", "a"]
    assert file.choice(QUANT_TYPE, 90, NO_STEPS) == _MIXED.choice
    assert file.words(90) == "layers.json"


def test_onediffs_layers_are_chosen_by_the_options(tmp_path: Path) -> None:
    """A layer may have any name: what is behind it tells the files apart."""
    file = _read(tmp_path, onediff_file.render({"format": 0.9, "b": 0.8, "c": 0.7}))
    kept = KeptSteps(first=1)
    assert file.choice(_INT8, 67, kept) == Choice.of_one(_INT8, ["format", "b"], kept)
    assert file.words(67) == "layers.json, best 67%"
    file.refuse_compilers(["nexfort"])
    file.refuse_options(['"quant_type"'])
    with pytest.raises(RequestError, match="no layer would be quantized"):
        file.choice(_INT8, 10, NO_STEPS)


def test_what_contradicts_a_mixed_selection_is_refused(tmp_path: Path) -> None:
    file = _read(tmp_path, mixed_file.render(_MIXED, {"a": 0.9, "b": 0.8}))
    with pytest.raises(RequestError, match="says itself") as raised:
        file.choice(QUANT_TYPE, 100, KeptSteps(last=1, numbers=(2,)))
    assert "--keep-steps, --keep-last-steps" in raised.value.cause
    file.refuse_compilers(["none", "compile", "torch"])
    with pytest.raises(RequestError, match="--compiler nexfort cannot deploy") as raised:
        file.refuse_compilers(["none", "nexfort"])
    assert "one quant type, and at every step" in raised.value.cause


_LAYER = {"quant_type": _INT8, "ssim": 0.9}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "pixart-tui mixed selection 2"}, "mixed selection 2"),
        ({"layers": {}}, "no layer"),
        ({"layers": {"a": {"ssim": 0.9}}}, "layers.a.quant_type"),
        ({"kept_steps": {"last": -1}}, "kept_steps.last"),
        ({"at_every_step": ["b"]}, "names b"),
    ],
)
def test_a_mixed_selection_that_is_damaged_is_refused_with_the_place(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    content = {"format": mixed_file.FORMAT, "layers": {"a": _LAYER}} | changes
    with pytest.raises(RequestError, match="is not a mixed selection") as raised:
        _read(tmp_path, json.dumps(content))
    assert said in raised.value.cause


def test_so_is_one_with_a_quant_type_that_there_is_not(tmp_path: Path) -> None:
    layers = {"a": {"quant_type": "int7", "ssim": 0.9}}
    with pytest.raises(RequestError, match="int7"):
        _read(tmp_path, json.dumps({"format": mixed_file.FORMAT, "layers": layers}))


def test_what_is_neither_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="not a layer file"):
        _read(tmp_path, '{"a": 1}')
    with pytest.raises(RequestError, match="cannot be read"):
        read(tmp_path / "nowhere.json")
