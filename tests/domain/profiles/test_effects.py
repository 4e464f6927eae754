from __future__ import annotations

import base64
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixart_tui.domain.events import SampleMeasured
from pixart_tui.domain.profiles.effects import PackedArray
from pixart_tui.runs.journal import JournalEntry
from tests.adjoint_effects import sample_of

_ARRAYS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    elements=st.floats(width=32),
)


@given(_ARRAYS)
def test_an_array_comes_back_bit_for_bit(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    packed = PackedArray.of(array)
    found = PackedArray.model_validate_json(packed.model_dump_json()).array()
    assert found.dtype == np.float32
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def test_the_bytes_are_little_endian_floats() -> None:
    assert base64.b64decode(PackedArray.of(np.array([1.0], np.float32)).data).hex() == "0000803f"


def test_a_strided_array_is_packed_in_its_own_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    np.testing.assert_array_equal(PackedArray.of(array).array(), array)


def test_what_is_read_can_be_written_to() -> None:
    found = PackedArray.of(np.zeros(2, np.float32)).array()
    found[0] = 1
    assert found.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((2,), "AACAPw=="),  # one number for two
        ((1,), "AACAPwAAgD8="),  # two for one
        ((1,), "AACA"),  # three bytes
        ((1,), "AACAPw"),  # cut off
        ((1,), "AAC*Pw=="),  # no base64
        ((1,), "åACAPw=="),
        ((-1, -1), "AACAPw=="),
    ],
)
def test_damaged_text_is_an_error(shape: tuple[int, ...], data: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PackedArray(shape=shape, data=data).array()


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "touched"
    content = pickle.dumps(_Touches(trap))
    content += b"\0" * (-len(content) % 4)
    data = base64.b64encode(content).decode()
    found = PackedArray(shape=(len(content) // 4,), data=data).array()
    assert found.tobytes() == content
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists(), "the trap works"


def test_a_sample_survives_the_journal() -> None:
    sample = sample_of([[[0.5, math.nan]], [[0.0, 0.25]]], first_calls=(0, 1))
    line = JournalEntry(t=0.0, event=SampleMeasured(sample=sample)).model_dump_json()
    event = JournalEntry.model_validate_json(line).event
    assert isinstance(event, SampleMeasured)
    assert event.sample == sample
