from __future__ import annotations

import torch
from torch import Tensor

from pixart_tui.engine.fused.packing import packed_rows


def _weights(dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 8, generator=generator).to(dtype) for n in (3, 4, 5)]


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def test_weights_on_their_own_are_copied_into_one() -> None:
    weights = _weights()
    packed = packed_rows(weights)
    assert torch.equal(packed, torch.cat(weights))
    assert not _same_memory(packed, weights[0])


def test_neighbors_in_one_tensor_are_taken_as_they_lie() -> None:
    whole = torch.cat(_weights())
    q, k, v = torch.split(whole, [3, 4, 5])
    for parts, start, end in (([q, k, v], 0, 12), ([q, k], 0, 7), ([k, v], 3, 12), ([v], 7, 12)):
        packed = packed_rows(parts)
        assert torch.equal(packed, whole[start:end])
        assert packed.data_ptr() == parts[0].data_ptr()
        assert packed.is_contiguous()


def test_parts_with_a_gap_or_in_another_order_are_copied() -> None:
    whole = torch.cat(_weights())
    q, k, v = torch.split(whole, [3, 4, 5])
    for parts in ([q, v], [k, q], [q, q]):
        packed = packed_rows(parts)
        assert torch.equal(packed, torch.cat(parts))
        assert not _same_memory(packed, whole)
    assert torch.equal(whole, torch.cat(_weights()))


def test_fp8_codes_are_packed_too() -> None:
    weights = _weights(torch.float8_e4m3fn)
    packed = packed_rows(weights)
    assert packed.dtype is torch.float8_e4m3fn
    assert torch.equal(packed.float(), torch.cat([w.float() for w in weights]))
