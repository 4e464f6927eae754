"""The map, the table and the details of a profile: keys, clicks, and what is drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import Line
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.order import Sort
from pixart_tui.tui.tabs.profile.pane import ProfilePane
from pixart_tui.tui.tabs.profile.table import Columns, layer_line
from pixart_tui.tui.widgets.filter_input import FilterInput
from pixart_tui.tui.widgets.map_view import MapView
from pixart_tui.tui.widgets.pair_pictures import PairPictures
from tests.tui import alpha_runs, sample_pictures, sample_runs
from tests.tui.pilots import dashboard, screen_text, until, until_shown

SIZES = [(80, 24), (120, 36), (200, 50)]


def pane_of(pilot: Pilot[None]) -> ProfilePane:
    return pilot.app.query_one(ProfilePane)


def map_text(pilot: Pilot[None]) -> str:
    return pilot.app.query_one(MapView).text


def cursor_row(pilot: Pilot[None]) -> str:
    table = pane_of(pilot).table
    return table.text.splitlines()[table.cursor]


@pytest.mark.parametrize("size", SIZES)
async def test_the_whole_model_and_the_table_are_on_one_screen(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    alpha_runs.half_measured(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "141 of 283 layers")
        await until(pilot, lambda: "below" in map_text(pilot) or "1/300" in map_text(pilot))
        rows = screen_text(app)
        drawn = "\n".join(rows)

        assert "13.ff.net.2" in drawn
        assert sum(" 1.02%" in row for row in rows) >= 10
        assert max(map(len, rows)) <= size[0]


async def test_at_80x24_every_layer_of_the_model_has_its_cell(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "141 of 283 layers", "below")
        cells = "".join(row[11:39] for row in screen_text(app)[7:20])

    counts = [cells.count(m) for m in glyphs.PENDING + glyphs.RUNNING + glyphs.FAILED]
    assert sum(cells.count(glyph) for glyph in glyphs.LEVELS) == 140
    assert counts == [141, 1, 1]
    assert cells.count(glyphs.EXCLUDED) == 7


async def test_the_cursor_of_the_table_and_the_map_are_one(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers", "3.ff.net.2")
        pane = pane_of(pilot)
        await pilot.press("down", "down")
        await until(pilot, lambda: pane.fqn == "transformer_blocks.7.ff.net.0.proj")
        await pilot.press("right", "right")
        await until(pilot, lambda: pane.fqn == "transformer_blocks.9.ff.net.0.proj")
        await pilot.press("shift+down")
        await until(pilot, lambda: "9.ff.net.2 " in cursor_row(pilot))
        await pilot.press("[", "[", "left")
        await until(pilot, lambda: "8.attn2.to_out.0" in cursor_row(pilot))
        await until_shown(pilot, " 8.attn2.to_out.0  rank")


async def test_a_click_on_the_map_moves_the_cursor(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers", "below")
        await pilot.click(MapView, offset=(11 + 5, 2))
        await until(pilot, lambda: "5.attn1.to_k" in cursor_row(pilot))
        await pilot.click(MapView, offset=(2, 2))
        assert "5.attn1.to_k" in cursor_row(pilot)


async def test_the_cursor_stays_with_its_layer_while_others_are_measured(tmp_path: Path) -> None:
    run = alpha_runs.half_measured(tmp_path)
    later = list(alpha_runs.exhaustive_events(150))[-20:]

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers", "below")
        await pilot.press("right", "shift+up")
        await until_shown(pilot, " 4.ff.net.0.proj  rank")
        with JournalWriter(run.paths.events) as journal:
            for event in later:
                journal.append(event)
        await until_shown(pilot, "150 of 283 layers")
        assert "4.ff.net.0.proj" in cursor_row(pilot)


async def test_o_sorts_by_the_next_column_and_marks_it(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "141 of 283 layers", f"#{glyphs.SORTED}")
        for title in ("layer", "layer by block", "FLOPs", "saved ms", "#"):
            await pilot.press("o")
            await until_shown(pilot, f"{title}{glyphs.SORTED}")
        assert pane_of(pilot).sort is Sort.RANK


async def test_a_profile_without_times_is_not_sorted_by_them(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers")
        await pilot.press("o", "o", "o")
        await until_shown(pilot, f"FLOPs{glyphs.SORTED}")
        await pilot.press("o")
        await until_shown(pilot, f"#{glyphs.SORTED}")


async def test_a_filter_works_as_it_is_typed_and_escape_clears_it(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers")
        await pilot.press("slash", *"ff")
        await until_shown(pilot, "/ff   56 of 290 layers")
        await pilot.press(*" block", "colon", "3")
        await until_shown(pilot, "/ff block:3   2 of 290 layers")
        shown = map_text(pilot)
        assert glyphs.PENDING not in shown.partition("below")[0]
        assert "3.ff.net.2" in pane_of(pilot).table.text
        await pilot.press("q")  # a letter, and not the key that leaves
        await until_shown(pilot, "/ff block:3q   0 of 290 layers")
        await pilot.press("escape")
        await until(pilot, lambda: pane_of(pilot).filter.empty)
        assert not pilot.app.query_one(FilterInput).display
        assert pilot.app.focused is pane_of(pilot).table


async def test_enter_keeps_the_filter_and_the_arrows_stay_within_it(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers")
        await pilot.press("slash", *"attn2", "enter", "home")
        await until_shown(pilot, "/attn2   112 of 290 layers")
        pane = pane_of(pilot)
        await pilot.press("down", "shift+up", "shift+up", "shift+up", "shift+up")
        await until(pilot, lambda: "attn2.to_q" in (pane.fqn or ""))
        await pilot.press("escape")
        await until(pilot, lambda: pane.filter.empty)
        assert "attn2.to_q" in cursor_row(pilot)


async def test_another_tab_leaves_the_line_for_typing(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers")
        await pilot.press("slash", *"ff", "tab")
        await pilot.press("2")
        await until_shown(pilot, "/ff   56 of 290 layers")
        assert not pilot.app.query_one(FilterInput).display


async def test_m_gives_the_table_the_whole_width(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers", "below")
        await pilot.press("m")
        await until_shown(pilot, "log scale", "95% interval")
        await until(pilot, lambda: not pilot.app.query_one(MapView).display)
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.query_one(MapView).display)


async def test_details_tell_each_sample_and_each_step(tmp_path: Path) -> None:
    alpha_runs.finished(tmp_path, list(alpha_runs.adjoint_events()), "adjoint")

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(100, 60)) as pilot:
        await until_shown(pilot, "8 of 8 samples")
        await pilot.press("slash", *"proj_out", "enter")
        await until_shown(pilot, "1 of 290 layers")
        await pilot.press("enter")
        text = await until_shown(pilot, "8 samples, worth", "1152 to 32, bias, 8192 rows")
        assert all(text.count(f" {prompt}") >= 2 for prompt in sample_runs.PROMPTS)
        assert "for these images" in text
        assert "for other prompts" in text
        assert "PSNR" not in text
        assert "bfloat16" in text
        assert "effect on the image by denoising step" in text
        steps = text.partition("most at step")[2].partition("pictures")[0].splitlines()[1:-1]
        parts = [float(row.split("%")[0].split()[-1]) for row in steps if "%" in row]
        assert len(parts) == alpha_runs.STEPS
        assert sum(parts) == pytest.approx(100, abs=0.2)
        await pilot.press("escape")
        await until_shown(pilot, "1 of 290 layers")
        await pilot.press("escape")
        await until(pilot, lambda: pane_of(pilot).filter.empty)


async def test_details_stay_while_one_goes_to_the_next_block(tmp_path: Path) -> None:
    alpha_runs.finished(tmp_path, list(alpha_runs.adjoint_events()), "adjoint")

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(100, 50)) as pilot:
        await until_shown(pilot, "8 of 8 samples")
        await pilot.press("down", "enter")
        await until_shown(pilot, "degrees of freedom", "most at step")
        await pilot.press("right")  # to the next block, still in detail
        await until(pilot, lambda: pane_of(pilot).has_class("-detail"))
        assert pilot.app.focused is pane_of(pilot).body


async def test_details_of_layers_without_figures_say_why(tmp_path: Path) -> None:
    alpha_runs.half_measured(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers")
        await pilot.press("enter")
        await until_shown(pilot, "NaN or infinity in the image: keep this layer")
        await pilot.press("escape", "end", "enter")
        await until_shown(pilot, "excluded: torch._int_mm needs more than 16 rows")


async def test_the_keys_do_nothing_where_there_is_no_profile(tmp_path: Path) -> None:
    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("2")
        await until_shown(pilot, "No profile is open")
        await pilot.press("enter", "o", "m", "left", "right", "shift+down", "slash", "x", "escape")
        await until_shown(pilot, "No profile is open")


async def test_a_new_measurement_makes_and_sends_only_what_is_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = alpha_runs.half_measured(tmp_path)
    app = dashboard(run.id)
    made: list[str] = []

    def counted(score: LayerScore, facts: Facts, columns: Columns) -> Line:
        made.append(score.layer.fqn)
        return layer_line(score, facts, columns)

    async with app.run_test() as pilot:
        await until_shown(pilot, "141 of 283 layers", "below")
        before = screen_text(app)
        monkeypatch.setattr("pixart_tui.tui.tabs.profile.pane.layer_line", counted)
        with JournalWriter(run.paths.events) as journal:
            for event in list(alpha_runs.exhaustive_events(142))[-2:]:
                journal.append(event)
        await until(pilot, lambda: "142 of 283 layers" in "\n".join(screen_text(app)))
        after = screen_text(app)

        visible = pane_of(pilot).table.size.height
        assert len(set(made)) <= visible
    changed = [
        x
        for was, now in zip(before[7:20], after[7:20], strict=True)
        for x in range(40)
        if was[x : x + 1] != now[x : x + 1]
    ]
    assert len(changed) <= 3  # of the map: what was measured, and what is measured now


async def test_details_show_the_layers_pictures_and_where_they_lie(tmp_path: Path) -> None:
    sample_pictures.imaged_profile(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "85 of 85 layers")
        await pilot.press("slash", *_typed("block:0 attn1.to_k"), "enter")
        await until_shown(pilot, "1 of 86 layers")
        await pilot.press("enter")
        await until_shown(pilot, "1 kept", "unquantized  (space: next)", "seed 0")
        pictures = pane_of(pilot).query_one(PairPictures)
        await until(pilot, lambda: pictures.loaded is not None)
        await until(pilot, lambda: "▀" in "\n".join(row[68:] for row in screen_text(app)))
        assert f"{tmp_path}" in pane_of(pilot).body.text.replace("\n ", "")
        await pilot.press("space")
        await until_shown(pilot, "quantized  (space: next)")
        await pilot.press("space")
        await until_shown(pilot, "difference  (space: next)   difference x")


async def test_in_a_narrow_terminal_space_turns_from_the_figures_to_the_pictures(
    tmp_path: Path,
) -> None:
    sample_pictures.imaged_profile(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers")
        await pilot.press("slash", *_typed("block:0 attn1.to_k"), "enter")
        await until_shown(pilot, "1 of 86 layers")
        await pilot.press("enter")
        await until_shown(pilot, "known by", "space shows them")
        for face in ("unquantized", "quantized", "difference"):
            await pilot.press("space")
            await until_shown(pilot, f" {face}  (space: next)")
        await until(pilot, lambda: "▀" in "\n".join(screen_text(app)))
        await pilot.press("space")
        await until_shown(pilot, "known by")
        await pilot.press("escape")
        await until_shown(pilot, "1 of 86 layers")


async def test_a_layer_without_pictures_says_so(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers")
        await pilot.press("enter", "space")
        await until_shown(pilot, "none kept of this layer")


def _typed(text: str) -> list[str]:
    """The keys that type a text."""
    return [{" ": "space", ":": "colon", "_": "underscore"}.get(x, x) for x in text]
