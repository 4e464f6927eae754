"""Names that are not UTF-8 in what is written to files."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pixart_tui.domain.values import Value, parse_json

_NAME = "caf\udce9.json"


class _Kept(Value):
    path: str
    sizes: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize("indent", [None, 1])
def test_a_name_comes_back_as_it_was(indent: int | None) -> None:
    text = _Kept(path=_NAME).model_dump_json(indent=indent)

    assert _Kept.model_validate_json(text) == _Kept(path=_NAME)
    assert _Kept.model_validate_json(text.encode()) == _Kept(path=_NAME)
    assert json.loads(text)["path"] == _NAME


def test_the_form_of_a_line_is_the_same() -> None:
    as_ever = _Kept(path="x").model_dump_json()
    assert _Kept(path=_NAME).model_dump_json() == as_ever.replace('"x"', '"caf\\udce9.json"')
    assert _Kept(path="é").model_dump_json() == '{"path":"é","sizes":[1,2]}'


_DAMAGED = ['{"path": "\\udce9"', '{"sizes": "\\udce9"}', "[" * 9999 + "\\ud"]


@pytest.mark.parametrize("text", _DAMAGED)
def test_damage_is_told_as_ever(text: str) -> None:
    with pytest.raises(ValidationError):
        _Kept.model_validate_json(text)


def test_json_that_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(json.JSONDecodeError, match="nested too deeply"):
        parse_json("[" * 100_000)
    assert parse_json('{"a": [1]}') == {"a": [1]}
    assert parse_json('{"a": 1}', lambda pairs: pairs) == [("a", 1)]


def test_a_copy_is_checked_as_a_new_value_is() -> None:
    one = _Range(low=1)
    assert one.replace(low=2) == _Range(low=2)
    assert one.replace(low=2).model_fields_set == {"low"}
    with pytest.raises(ValidationError):
        one.replace(low="two")
    with pytest.raises(TypeError, match="no field lowest"):
        one.replace(lowest=2)


class _Range(Value):
    low: int
    high: int = 9
