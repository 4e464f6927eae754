from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.selecting import onediff_rule
from tests.stand_ins import nexfort
from tests.stand_ins.nexfort import Recorded

_FQNS = st.from_regex(r"\A[a-z_]{1,12}(\.[a-z0-9_]{1,8}){0,3}\Z")
_ENTRIES = st.dictionaries(_FQNS, st.floats(-1, 1.001, allow_nan=False), min_size=1, max_size=40)


@given(_ENTRIES)
def test_what_is_rendered_is_read_back_capped_at_one(entries: dict[str, float]) -> None:
    parsed = onediff_file.parse(onediff_file.render(entries), "f.json")
    assert parsed == {fqn: min(ssim, 1.0) for fqn, ssim in entries.items()}
    assert list(parsed.values()) == sorted(parsed.values(), reverse=True)


@given(st.text(max_size=60) | _ENTRIES.map(lambda e: json.dumps(list(e))))
def test_anything_else_is_refused_with_one_clear_error(text: str) -> None:
    if not _is_a_layer_file(text):
        with pytest.raises(RequestError, match=r"f\.json") as caught:
            onediff_file.parse(text, "f.json")
        assert len(caught.value.lines()) <= 5


def _is_a_layer_file(text: str) -> bool:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return False
    return (
        isinstance(content, dict)
        and bool(content)
        and all(
            isinstance(value, dict) and type(value.get("ssim")) in (int, float)
            for value in content.values()
        )
    )


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"a": 1}', '{"a": {}}', '{"a": {"ssim": "1"}}', '{"a": {"ssim": true}}'],
)
def test_a_value_without_a_number_is_refused(content: str) -> None:
    with pytest.raises(RequestError, match=r"f\.json"):
        onediff_file.parse(content, "f.json")


class _Reader:
    """The real ``onediffx.quantize_pipe``, asked which layers it would have nexfort quantize."""

    def __init__(self, folder: Path, recorded: Recorded) -> None:
        self._path = folder / "f.json"
        self._recorded = recorded

    def chosen(self, text: str, percentage: float) -> list[str]:
        """The names, in its order.

        Raises:
            Exception: onediffx cannot read the file.
        """
        from onediffx import quantize_pipe

        self._recorded.clear()
        self._path.write_text(text, encoding="utf-8")
        pipe = SimpleNamespace(transformer=nn.Module())
        quantize_pipe(pipe, str(self._path), percentage, quant_type="fp8_e4m3_e4m3_dynamic")
        (call,) = self._recorded.of("quantize")
        names: list[str] = call["allowed"]
        return names


@pytest.fixture
def onediffx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Reader:
    return _Reader(tmp_path, nexfort.install(tmp_path, monkeypatch))


_PERCENTAGES = st.sampled_from([0, 10, 29, 50, 58, 90, 95, 100]) | st.floats(0, 100)
_REUSING_THE_FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@settings(_REUSING_THE_FIXTURE, max_examples=40)
@given(entries=_ENTRIES, percentage=_PERCENTAGES)
def test_the_real_onediffx_quantizes_exactly_the_layers_that_we_say(
    entries: dict[str, float], percentage: float, onediffx: _Reader
) -> None:
    text = onediff_file.render(entries)

    expected = onediff_rule.chosen_layers(onediff_file.parse(text, "f.json"), percentage)

    assert onediffx.chosen(text, percentage) == list(expected)


_SSIM = (
    st.floats(allow_nan=True, allow_infinity=True)
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, 1.0, 0.5, 2**53, 2**53 + 1, 10**400])
)
_DETAILS = st.fixed_dictionaries({"ssim": _SSIM}, optional={"psnr": st.none() | st.text()})
_BROKEN: st.SearchStrategy[object] = (
    st.none() | st.just({}) | st.lists(st.integers()) | st.text() | st.integers()
)
_PAIRS = st.lists(st.tuples(st.text(max_size=6) | _FQNS, _DETAILS), max_size=30)
_DAMAGED = st.lists(st.tuples(_FQNS, _DETAILS | _BROKEN), min_size=1, max_size=6)


def _written(pairs: list[tuple[str, object]]) -> str:
    """An object whose keys may stand there twice."""
    members = (f"{json.dumps(name)}: {json.dumps(details)}" for name, details in pairs)
    return "{" + ", ".join(members) + "}"


@settings(_REUSING_THE_FIXTURE, max_examples=150)
@given(pairs=_PAIRS | _DAMAGED, percentage=_PERCENTAGES)
def test_any_file_that_onediffx_reads_gives_us_the_same_layers(
    pairs: list[tuple[str, object]], percentage: float, onediffx: _Reader
) -> None:
    """Hand-edited, with names of no model, repeated, without SSIM, with NaN and huge numbers."""
    text = _written(pairs)
    try:
        theirs = onediffx.chosen(text, percentage)
    except Exception:
        with pytest.raises(RequestError):
            onediff_file.parse(text, "f.json")
        return
    if pairs:
        ours = onediff_rule.chosen_layers(onediff_file.parse(text, "f.json"), percentage)
        assert list(ours) == theirs
    else:  # onediffx would quantize nothing without a word
        with pytest.raises(RequestError):
            onediff_file.parse(text, "f.json")


def test_a_number_that_is_too_long_for_python_is_a_clear_error() -> None:
    with pytest.raises(RequestError, match=r"f\.json"):
        onediff_file.parse('{"a": {"ssim": ' + "9" * 5000 + "}}", "f.json")


def test_names_of_the_files_beside() -> None:
    path = Path("profiles/pixart-emoji/fp8_e4m3.json")
    assert onediff_file.sidecar_path(path).name == "fp8_e4m3.meta.json"
    assert onediff_file.selected_path(path).name == "fp8_e4m3.selected.json"
