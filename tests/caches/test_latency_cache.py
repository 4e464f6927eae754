from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.caches.latency_cache import LatencyCache, LatencyKey
from pixart_tui.caches.root import cache_root
from pixart_tui.domain.layers.latency import Latency, LinearShape

KEY = LatencyKey(
    device="NVIDIA H100 80GB HBM3",
    torch="2.11.0+cu130",
    triton="3.6.0",
    torchao="0.17.0",
    kernels="torchao",
    quant_type="fp8_e4m3_e4m3_dynamic",
)
SMALL = LinearShape(rows=64, in_features=256, out_features=256, has_bias=True)
LARGE = LinearShape(rows=8192, in_features=1152, out_features=4608, has_bias=True)
LATENCY = Latency(unquantized=2e-6, quantized=1e-6, noise=1e-8)


def test_what_was_stored_is_known_to_the_next_run() -> None:
    cache = LatencyCache.open(KEY)
    assert (cache.known, cache.problem) == ({}, "")
    assert cache.store({SMALL: LATENCY}) == ""
    assert LatencyCache.open(KEY).known == {SMALL: LATENCY}
    assert cache.path.name == "nvidia-h100-80gb-hbm3.json"
    assert cache.path.is_relative_to(cache_root())


@pytest.mark.parametrize("field", ["torch", "triton", "torchao", "kernels", "quant_type"])
def test_another_version_kernel_or_quant_type_is_not_mixed_up(field: str) -> None:
    other = KEY.replace(**{field: "another"})
    LatencyCache.open(KEY).store({SMALL: LATENCY})
    assert LatencyCache.open(other).known == {}
    LatencyCache.open(other).store({LARGE: LATENCY})
    assert LatencyCache.open(KEY).known == {SMALL: LATENCY}
    assert LatencyCache.open(other).known == {LARGE: LATENCY}


def test_another_gpu_model_has_a_file_of_its_own() -> None:
    other = KEY.replace(device="NVIDIA A100-SXM4-80GB")
    LatencyCache.open(KEY).store({SMALL: LATENCY})
    cache = LatencyCache.open(other)
    assert cache.known == {}
    assert cache.path != LatencyCache.open(KEY).path


def test_what_another_run_stored_meanwhile_stays() -> None:
    first, second = LatencyCache.open(KEY), LatencyCache.open(KEY)
    first.store({SMALL: LATENCY})
    second.store({LARGE: LATENCY})
    assert LatencyCache.open(KEY).known == {SMALL: LATENCY, LARGE: LATENCY}


def test_a_shape_measured_again_replaces_what_was_known() -> None:
    LatencyCache.open(KEY).store({SMALL: LATENCY})
    newer = Latency(unquantized=3e-6, quantized=2e-6)
    LatencyCache.open(KEY).store({SMALL: newer})
    assert LatencyCache.open(KEY).known == {SMALL: newer}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"schema_version": 0'])
def test_a_damaged_file_is_told_and_replaced(content: bytes) -> None:
    path = LatencyCache.open(KEY).path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    cache = LatencyCache.open(KEY)
    assert cache.known == {}
    assert str(path) in cache.problem
    assert cache.store({SMALL: LATENCY}) == ""
    assert LatencyCache.open(KEY).known == {SMALL: LATENCY}


def test_a_newer_file_is_told_and_left_alone() -> None:
    path = LatencyCache.open(KEY).path
    path.parent.mkdir(parents=True)
    text = json.dumps({"schema_version": 99, "entries": "of another form"})
    path.write_text(text)
    cache = LatencyCache.open(KEY)
    assert cache.known == {}
    assert "newer pixart-tui" in cache.problem
    assert "newer pixart-tui" in cache.store({SMALL: LATENCY})
    assert path.read_text() == text


def test_a_directory_that_cannot_be_written_is_told_and_stops_nothing() -> None:
    cache_root().write_text("a file where the directory should be")
    cache = LatencyCache.open(KEY)
    assert cache.known == {}
    assert "left as it is" in cache.store({SMALL: LATENCY})


def test_the_users_cache_directory_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIXART_TUI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_root() == Path("/somewhere/pixart-tui")
