"""The shape of a model: every layer once, and where the arrow keys lead."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading.synthetic import build_synthetic
from pixart_tui.tui.drawing.layer_grid import LayerGrid
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.drawing.map_lines import MapLayout, cell_at, map_lines
from tests.tui import alpha_runs, sample_runs

ALPHA = alpha_runs.layers()
GRID = LayerGrid.of(ALPHA)
_everything = bool


def test_the_sample_of_290_layers_is_the_models() -> None:
    loaded = build_synthetic("synthetic:alpha", torch.bfloat16, torch.device("meta"))

    found = list_layers(loaded.pipeline, height=1024, width=1024, text_tokens=120)

    assert found == ALPHA


@pytest.mark.parametrize("layers", [ALPHA, sample_runs.layers(), ()])
def test_every_layer_stands_in_the_grid_once(layers: Sequence[Layer]) -> None:
    cells = [cell for row in LayerGrid.of(layers).rows for cell in row.cells if cell]

    assert sorted(cells) == sorted(layer.fqn for layer in layers)


def test_rows_are_types_and_columns_are_blocks() -> None:
    labels = [row.label for row in GRID.rows]

    assert labels[0] == "attn1.to_q"
    assert labels[-3:] == ["proj_out", "adaln_single", "caption_projection"]
    assert GRID.rows[3].cells[17] == "transformer_blocks.17.attn1.to_out.0"
    assert (GRID.blocks, GRID.columns, len(GRID.rows)) == (28, 28, 13)


def test_a_block_without_a_type_leaves_its_cell_empty() -> None:
    layers = [layer for layer in ALPHA if layer.fqn != "transformer_blocks.5.attn2.to_k"]

    assert LayerGrid.of(layers).rows[5].cells[5] is None


@given(st.lists(st.sampled_from([(0, 1), (0, -1), (1, 0), (-1, 0)]), max_size=60))
def test_the_cursor_never_leaves_the_map(moves: list[tuple[int, int]]) -> None:
    names = {layer.fqn for layer in ALPHA}
    fqn = ALPHA[0].fqn
    for rows, columns in moves:
        fqn = GRID.moved(fqn, rows, columns, names.__contains__)

    assert fqn in names


def test_right_goes_to_the_next_block_and_stops_at_the_last() -> None:
    last = "transformer_blocks.27.ff.net.2"

    assert GRID.moved("transformer_blocks.3.ff.net.2", 0, 1, _everything).startswith(
        "transformer_blocks.4.ff"
    )
    assert GRID.moved(last, 0, 1, _everything) == last


def test_down_goes_to_the_next_type_and_from_the_blocks_to_the_layers_outside() -> None:
    down = GRID.moved("transformer_blocks.9.ff.net.0.proj", 1, 0, _everything)
    outside = GRID.moved(down, 1, 0, _everything)

    assert down == "transformer_blocks.9.ff.net.2"
    assert outside == "proj_out"


def test_layers_that_a_filter_leaves_out_are_passed_over() -> None:
    shown = {"transformer_blocks.2.attn1.to_q", "transformer_blocks.20.attn1.to_q"}

    moved = GRID.moved("transformer_blocks.2.attn1.to_q", 0, 1, shown.__contains__)

    assert moved == "transformer_blocks.20.attn1.to_q"


@given(st.integers(40, 250))
def test_the_map_of_the_whole_model_fits_from_40_cells_on(room: int) -> None:
    layout = MapLayout.of(GRID, room)
    lines = map_lines(GRID, layout, lambda _: ("x", " ", "text"))

    assert layout.width <= room
    assert max(len(plain(line)) for line in lines) <= layout.width
    assert sum(plain(line)[layout.left :].count("x") for line in lines) == 290


@given(st.integers(40, 250), st.sampled_from(ALPHA))
def test_a_click_finds_the_layer_that_is_drawn_there(room: int, layer: Layer) -> None:
    layout = MapLayout.of(GRID, room)
    found = ("@", " ", "text")
    marks = {layer.fqn: found}
    lines = map_lines(GRID, layout, lambda fqn: marks.get(fqn, (".", " ", "text")))  # type: ignore[arg-type, return-value]
    y = next(y for y, line in enumerate(lines) if "@" in plain(line))
    x = plain(lines[y]).index("@")

    assert cell_at(GRID, layout, x, y) == layer.fqn
    assert cell_at(GRID, layout, layout.left - 1, y) is None
    assert cell_at(GRID, layout, x, 0) is None


def test_the_cursors_cell_has_a_style_of_its_own() -> None:
    layout = MapLayout.of(GRID, 40)
    lines = map_lines(GRID, layout, lambda _: (".", " ", "muted"), "proj_out")

    found = [span for line in lines for span in line if span.cell_style == "cursor"]
    assert [span.text for span in found] == ["."]
