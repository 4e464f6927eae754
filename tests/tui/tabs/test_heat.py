"""The levels and marks of the map: told apart without any color."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.glyphs import in_ascii
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.state.overview import ProfileView, RunView
from pixart_tui.tui.tabs.profile.details import detail_lines
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.heat import Scale, layer_mark, legend, measuring_now
from pixart_tui.tui.tabs.profile.order import Sort
from pixart_tui.tui.tabs.profile.table import Columns, columns_line, layer_line
from tests import samples
from tests.tui import alpha_runs
from tests.tui.views import view_of, view_of_scores

FLOOR = Scale(0.001, "floor")


def _run(stage: str = "", detail: str = "") -> RunView:
    state = RunState.RUNNING
    return RunView("0", state, None, "", 1, 1, None, None, 0.0, stage, detail, None, (), ())


def _score(loss: float | None, **fields: object) -> LayerScore:
    known = samples.score("proj_out", None if loss is None else 1 - loss)
    return known.replace(**fields)


@given(st.floats(1e-9, 1.0), st.floats(1e-9, 1.0))
def test_a_larger_loss_is_never_drawn_lower(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert FLOOR.level(low) <= FLOOR.level(high)
    assert 0 <= FLOOR.level(low) < len(glyphs.LEVELS)


def test_the_floor_is_neutral_and_the_hues_lie_on_both_sides() -> None:
    assert FLOOR.cell_style(FLOOR.level(0.001)) == "heat4"
    assert FLOOR.cell_style(FLOOR.level(0.002)) == "heat4"
    assert FLOOR.cell_style(FLOOR.level(0.0002)) == "heat3"
    assert FLOOR.cell_style(FLOOR.level(1e-7)) == "heat1"
    assert FLOOR.cell_style(FLOOR.level(0.005)) == "heat5"
    assert FLOOR.cell_style(FLOOR.level(0.02)) == "heat6"


def test_the_reference_is_the_floor_then_the_noise_then_the_median() -> None:
    scores = tuple(_score(loss) for loss in (0.01, 0.02, 0.4))

    assert Scale.of(view_of_scores(scores, run=_run(), floor=0.1, noise=0.2)).reference == 0.1
    assert Scale.of(view_of_scores(scores, run=_run(), noise=0.2)).name == "noise"
    assert round(Scale.of(view_of_scores(scores, run=_run())).reference, 6) == 0.02
    assert Scale.of(ProfileView(_run())).reference == 1.0


def test_every_state_of_a_layer_has_its_own_mark_in_ascii_too() -> None:
    states = [
        layer_mark(_score(0.001), FLOOR, None),
        layer_mark(_score(0.001, tied=True, tied_from=1), FLOOR, None),
        layer_mark(_score(None, status=LayerStatus.PENDING), FLOOR, None),
        layer_mark(_score(None, status=LayerStatus.PENDING), FLOOR, "proj_out"),
        layer_mark(_score(None, status=LayerStatus.NOT_FINITE), FLOOR, None),
        layer_mark(_score(None, status=LayerStatus.EXCLUDED), FLOOR, None),
    ]
    for shown in ([mark[:2] for mark in states], [in_ascii("".join(m[:2])) for m in states]):
        assert len(set(shown)) == len(states)


def test_every_level_has_its_own_glyph() -> None:
    losses = [0.001 * bound * 1.01 for bound in (1e-9, *FLOOR.bounds)]
    marks = [layer_mark(_score(loss), FLOOR, None)[0] for loss in losses]

    assert len(set(marks)) == len(set(in_ascii("".join(marks)))) == 8


def test_the_legend_names_every_level_where_there_is_room() -> None:
    view = view_of_scores([_score(0.001, tied=True)], run=_run(), floor=0.001)
    wide = plain(legend(view, FLOOR, 80, 2))
    narrow = plain(legend(view, FLOOR, 40, 1))

    assert all(glyph in wide and glyph in narrow for glyph in glyphs.LEVELS)
    assert "1/300" in wide
    assert "= tied" in wide
    assert "= tied" not in narrow


def test_where_all_layers_are_measured_together_none_is_measured_now() -> None:
    request = ProfileRequest(output="/x.json")
    run = replace(_run("measuring", '"proj_out"'), request=request)
    view = view_of_scores([_score(None, status=LayerStatus.PENDING)], run=run)

    assert measuring_now(view) is None
    assert "now" not in plain(legend(view, FLOOR, 80, 2))


def test_the_layer_that_is_measured_is_found_in_what_the_stage_says() -> None:
    scores = (_score(None, status=LayerStatus.PENDING),)
    told = {
        ("measuring", 'proj_out  "red proj" and 3 more'): "proj_out",
        ("writing", "proj_out"): None,
        ("measuring", "something else"): None,
    }
    for (stage, detail), fqn in told.items():
        assert measuring_now(view_of_scores(scores, run=_run(stage, detail))) == fqn


@given(st.integers(39, 220), st.sampled_from(Sort))
def test_the_table_fits_and_marks_the_column_it_is_sorted_by(width: int, sort: Sort) -> None:
    columns = Columns.of(_ALPHA, width, sort)
    head = plain(columns_line(columns, sort))
    rows = [plain(layer_line(s, _ALPHA, columns)) for s in _ALPHA.view.scores[:40]]

    assert {len(row) for row in (head, *rows)} == {width}
    assert head.count(glyphs.SORTED) == 1


def _facts(measured: int) -> Facts:
    profile = alpha_runs.profile(list(alpha_runs.exhaustive_events(measured)))
    run = _run("measuring", "transformer_blocks.0.attn1.to_q")
    return Facts.of(view_of(profile, run=run, floor=0.001))


_ALPHA = _facts(40)


@given(st.integers(34, 200), st.integers(0, 39))
def test_beside_the_table_nothing_of_a_layer_is_cut_off(width: int, number: int) -> None:
    score = _ALPHA.view.scores[number]
    lines = [plain(content) for content in detail_lines(score, _ALPHA, width)]
    wide = [plain(content) for content in detail_lines(score, _ALPHA, 200)]

    assert max(map(len, lines)) <= width
    assert _figures(lines) == _figures(wide)
    heads = [line.split() for line in lines if line.startswith(" prompt")]
    assert all({"1-SSIM", "PSNR"} <= set(head) for head in heads if width >= 38)
    assert all("1-SSIM" in head for head in heads)


def _figures(lines: list[str]) -> str:
    """What stands above the prompts, wherever lines and columns end."""
    return "".join("".join(lines[: lines.index("")]).split())
