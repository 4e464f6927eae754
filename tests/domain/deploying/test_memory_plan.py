"""The planner, against the measures of PixArt-alpha at 1024x1024 in bfloat16."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.domain.deploying.memory_plan import MemoryParts, choose_memory, estimate_peak_bytes
from pixart_tui.domain.errors import RequestError

_MIB, _GIB = 2**20, 2**30

_ALPHA = MemoryParts(
    blocks=24,
    block_bytes=368 * _MIB,
    block_8bit_bytes=184 * _MIB,
    text_encoder_rest_bytes=251 * _MIB,
    transformer_bytes=600 * _MIB,
    vae_bytes=160 * _MIB,
    kept_bytes=64 * _MIB,
    encode_bytes=100 * _MIB,
    denoise_bytes=220 * _MIB,
    decode_bytes={
        "whole": 2560 * _MIB,
        "sliced": 2560 * _MIB,
        "strips": 776 * _MIB,
        "tiled": 660 * _MIB,
    },
)
_bytes = st.integers(1, 10**10)
_parts = st.builds(
    MemoryParts,
    blocks=st.integers(0, 30),
    block_bytes=_bytes,
    block_8bit_bytes=_bytes,
    text_encoder_rest_bytes=_bytes,
    transformer_bytes=_bytes,
    vae_bytes=_bytes,
    kept_bytes=_bytes,
    encode_bytes=_bytes,
    denoise_bytes=_bytes,
    decode_bytes=st.fixed_dictionaries(
        dict.fromkeys(("whole", "sliced", "strips", "tiled"), _bytes)
    ),
)


def _of(gib: float) -> MemoryOptions:
    return choose_memory(_ALPHA, int(gib * _GIB))


def test_a_large_budget_changes_nothing() -> None:
    assert _of(80) == MemoryOptions()


def test_strips_come_first_because_they_change_nothing() -> None:
    assert _of(11) == MemoryOptions(vae="strips")


def test_then_int8_then_as_few_host_blocks_as_fit() -> None:
    assert _of(7) == MemoryOptions(text_encoder_8bit=True, vae="strips")
    chosen = _of(6)
    assert (chosen.text_encoder_8bit, chosen.vae) == (True, "strips")
    one_less = chosen.text_encoder_host_blocks - 1
    assert one_less >= 0
    less = chosen.replace(text_encoder_host_blocks=one_less)
    assert estimate_peak_bytes(_ALPHA, chosen) <= 6 * _GIB < estimate_peak_bytes(_ALPHA, less)


def test_tiles_only_where_nothing_else_fits() -> None:
    least = MemoryOptions(text_encoder_8bit=True, text_encoder_host_blocks=24, vae="strips")
    strips_bytes = estimate_peak_bytes(_ALPHA, least)
    assert choose_memory(_ALPHA, strips_bytes) == least
    assert choose_memory(_ALPHA, strips_bytes - 1).vae == "tiled"


def test_the_peak_is_weights_and_the_larger_of_staging_and_decoding() -> None:
    rest = (251 + 600 + 160 + 64) * _MIB
    assert estimate_peak_bytes(_ALPHA, MemoryOptions()) == rest + (24 * 368 + 2560) * _MIB
    streamed = MemoryOptions(text_encoder_host_blocks=20, vae="tiled")
    assert estimate_peak_bytes(_ALPHA, streamed) == rest + (4 * 368 + 2 * 368 + 100) * _MIB
    all_of_them = MemoryOptions(text_encoder_8bit=True, text_encoder_host_blocks=99, vae="strips")
    assert estimate_peak_bytes(_ALPHA, all_of_them) == rest + 776 * _MIB


@given(_parts, _bytes)
def test_what_is_chosen_fits_and_what_is_refused_names_what_would(
    parts: MemoryParts, budget_bytes: int
) -> None:
    try:
        chosen = choose_memory(parts, budget_bytes)
    except RequestError as raised:
        error = raised
    else:
        assert estimate_peak_bytes(parts, chosen) <= budget_bytes
        return
    found = re.search(r"--memory-budget ([0-9.]+) ", error.next_step)
    assert found is not None
    # What the command makes of the number: whole bytes.
    smallest_bytes = int(float(found[1]) * _GIB)
    assert smallest_bytes > budget_bytes
    assert estimate_peak_bytes(parts, choose_memory(parts, smallest_bytes)) <= smallest_bytes


def test_a_budget_that_nothing_fits_is_refused() -> None:
    with pytest.raises(RequestError, match=r"does not fit into 0\.5 GiB"):
        _of(0.5)
