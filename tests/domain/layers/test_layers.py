from __future__ import annotations

from tests.samples import layer


def test_a_layer_in_a_block_knows_its_place() -> None:
    found = layer("transformer_blocks.12.ff.net.0.proj")
    assert (found.block, found.kind) == (12, "ff.net.0.proj")


def test_a_layer_outside_the_blocks_is_its_own_kind() -> None:
    found = layer("caption_projection.linear_1")
    assert (found.block, found.kind) == (None, "caption_projection.linear_1")


def test_flops_count_a_multiplication_and_an_addition() -> None:
    assert layer("proj_out", rows=3, size=8).flops == 2 * 3 * 8 * 8
