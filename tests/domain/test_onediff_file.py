from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixart_tui.domain import onediff_file
from pixart_tui.domain.errors import RequestError

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


def recording_nexfort(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """nexfort is not to be had; this stand-in records what onediffx asks it to quantize."""
    calls: list[dict[str, Any]] = []

    def quantize(module: object, **options: Any) -> object:
        calls.append(options)
        return module

    def multi_recursive_apply(pipe: object, parts: list[str], function: Any, **_: Any) -> None:
        for part in parts:
            if hasattr(pipe, part):
                function(getattr(pipe, part))

    modules: dict[str, dict[str, object]] = {
        "nexfort": {},
        "nexfort.ao": {"quantize": quantize},
        "nexfort.utils": {},
        "nexfort.utils.attributes": {"multi_recursive_apply": multi_recursive_apply},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return calls


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(entries=_ENTRIES, percentage=st.sampled_from([0, 10, 29, 50, 58, 90, 95, 100]))
def test_the_real_onediffx_quantizes_exactly_the_layers_that_we_say(
    entries: dict[str, float],
    percentage: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from onediffx.compilers.diffusion_pipeline_compiler import quantize_pipe

    calls = recording_nexfort(monkeypatch)
    path = tmp_path / "fp8_e4m3.json"
    path.write_text(onediff_file.render(entries))
    pipe = SimpleNamespace(transformer=object())

    quantize_pipe(pipe, str(path), percentage, quant_type="fp8_e4m3_e4m3_dynamic")

    expected = onediff_file.chosen_layers(
        onediff_file.parse(path.read_text(), "f.json"), percentage
    )
    (call,) = calls
    assert call["filter_fn_kwargs"]["allowed_fqns"] == list(expected)


def test_names_of_the_files_beside() -> None:
    path = Path("profiles/pixart-emoji/fp8_e4m3.json")
    assert onediff_file.sidecar_path(path).name == "fp8_e4m3.meta.json"
    assert onediff_file.selected_path(path).name == "fp8_e4m3.selected.json"
