from __future__ import annotations

from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.pilot import Pilot

from pixart_tui.domain.requests import CompareRequest
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.dialogs.confirm import ConfirmScreen
from pixart_tui.tui.tabs.compare.pane import ComparePane
from pixart_tui.tui.terminal.pictures import ImageMode, Pictures
from pixart_tui.tui.widgets.picture_view import HalfCells, changed_runs
from tests.tui import sample_pictures, sample_runs
from tests.tui.pilots import Starts, dashboard, screen_text, until, until_shown


def _cells(app: DashboardApp) -> list[tuple[tuple[str, Style | None], ...]]:
    """What every visible picture draws, one after the other."""
    views = [view for view in app.query(HalfCells) if view.size.width and view.region.width]
    rows = [view.render_line(y) for view in views for y in range(view.size.height)]
    return [tuple((segment.text, segment.style) for segment in row) for row in rows]


def _visible(app: DashboardApp) -> list[HalfCells]:
    return [view for view in app.query(HalfCells) if view.size.width]


async def _until_drawn(pilot: Pilot[None], app: DashboardApp) -> None:
    await until(pilot, lambda: any(view._cells for view in _visible(app)))


async def test_flicks_between_unquantized_and_quantized_with_one_key(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    app = dashboard(sample_pictures.COMPARE_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "1 of 4", "red apple", "SSIM 0.990000", "> unquantized")
        await _until_drawn(pilot, app)
        before = _cells(app)
        await pilot.press("space")
        await until_shown(pilot, "> quantized")
        await until(pilot, lambda: _cells(app) != before)
        await pilot.press("space")
        await until_shown(pilot, "> unquantized")
        await until(pilot, lambda: _cells(app) == before)


async def test_the_difference_says_by_how_much_it_is_amplified(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    app = dashboard(sample_pictures.COMPARE_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await _until_drawn(pilot, app)
        await pilot.press("d")
        await until_shown(pilot, "> difference x 1")
        await pilot.press("d")
        await until_shown(pilot, "> unquantized")


async def test_arrows_go_through_the_prompts_and_round(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")

    async with dashboard(sample_pictures.COMPARE_ID).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "1 of 4")
        await pilot.press("right")
        await until_shown(pilot, "2 of 4", "robot", "SSIM 0.989000", "baseline-1")
        await pilot.press("left", "left")
        await until_shown(pilot, "4 of 4", "owl")


async def test_a_profile_shows_every_layer_quantized_at_once(tmp_path: Path) -> None:
    run = sample_pictures.jointly_quantized(tmp_path / "pictures")

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "4 of 4 samples")
        await pilot.press("p")
        text = await until_shown(pilot, "1 of 4", "every layer in", sample_runs.QUANT_TYPE, "SSIM")
        assert "SSIM 0." in text


async def test_three_pictures_stand_side_by_side_only_where_they_have_room(
    tmp_path: Path,
) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    app = dashboard(sample_pictures.COMPARE_ID)

    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: len(_visible(app)) == 3)
        await until(pilot, lambda: all(view._cells for view in _visible(app)))
        assert all(len(view._cells[0]) >= 52 for view in _visible(app))
        await pilot.press("space")
        await until(pilot, lambda: len(_visible(app)) == 1)
        await until(pilot, lambda: len(_visible(app)[0]._cells[0]) > 60)
        await pilot.press("a")
        await until(pilot, lambda: len(_visible(app)) == 3)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(_visible(app)) == 1)
        await until(pilot, lambda: len(_visible(app)[0]._cells[0]) == 44)


async def test_layers_of_a_profile_come_with_the_most_sensitive_first(tmp_path: Path) -> None:
    sample_pictures.imaged_profile(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("p")
        await until_shown(pilot, "1 of 2", "attn1.to_")
        view = app.query_one(ComparePane).overview
        assert view is not None
        assert view.compare is not None
        first, second = view.compare.pairs
        assert first.ssim is not None
        assert second.ssim is not None
        assert first.ssim <= second.ssim


async def test_rows_of_a_benchmark_stand_against_its_baseline(tmp_path: Path) -> None:
    sample_pictures.imaged_bench(tmp_path)

    async with dashboard().run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, sample_runs.BENCH_ID)
        await pilot.press("5")
        await until_shown(pilot, "1 of 1", "compile", "SSIM 0.998700", "PSNR 48.21 dB")


async def test_without_colors_it_says_so_and_where_the_files_are(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    app = dashboard(sample_pictures.COMPARE_ID)
    app._pictures = Pictures(ImageMode.NONE, "pictures need colors, and NO_COLOR is set")

    async with app.run_test(size=(80, 24)) as pilot:
        text = await until_shown(pilot, "NO_COLOR is set", "the files are at", "SSIM 0.990000")
        assert not app.query(HalfCells)
        assert all("Flick" not in row for row in screen_text(app))

    assert "baseline-0.webp" in text.replace("\n ", "")


async def test_a_picture_that_is_gone_is_told(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    (tmp_path / "pictures" / "quantized-0.webp").unlink()

    async with dashboard(sample_pictures.COMPARE_ID).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "No such file")
        await pilot.press("right")
        await until_shown(pilot, "2 of 4", "difference x")


async def test_i_makes_the_pictures_of_the_layer_under_the_cursor(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path / "out")
    starts = Starts()
    app = dashboard(sample_runs.PROFILE_ID, starts=starts)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert not starts.runs
        await pilot.press("enter")
        await until(pilot, lambda: bool(starts.runs))
        await until_shown(pilot, f"compare {starts.runs[0].id}")

    record = starts.runs[0].record
    assert record is not None
    assert isinstance(record.request, CompareRequest)
    (layer,) = record.request.layers
    assert layer in {known.fqn for known in sample_runs.layers()}
    assert record.request.output == str(tmp_path / "out" / f"fp8_e4m3.{layer}.png")


async def test_without_pictures_it_says_where_they_come_from(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)

    async with dashboard().run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "34/85")
        await pilot.press("5")
        await until_shown(pilot, "No run has kept pictures yet")


async def test_nothing_is_drawn_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    app = dashboard(sample_pictures.COMPARE_ID)
    drawn: list[Region] = []
    refresh = HalfCells.refresh

    def watched(view: HalfCells, *regions: Region, **options: bool) -> HalfCells:
        drawn.extend(regions)
        return refresh(view, *regions, **options)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "difference x")
        await _until_drawn(pilot, app)
        monkeypatch.setattr(HalfCells, "refresh", watched)
        for _ in range(5):
            app._read()
            await pilot.pause(0.15)
        assert drawn == []
        await pilot.press("space")
        await until(pilot, lambda: bool(drawn))


def _row(letters: str) -> list[Segment]:
    return [Segment(letter) for letter in letters]


@pytest.mark.parametrize(
    ("now", "expected"),
    [("aaaaaaaa", []), ("baaaaaab", [(0, 1), (7, 8)]), ("abab", [(1, 8)]), ("babaaaaa", [(0, 3)])],
)
def test_changed_runs_leave_out_what_is_the_same(now: str, expected: list[tuple[int, int]]) -> None:
    assert changed_runs(_row("aaaaaaaa"), _row(now)) == expected


async def test_the_tab_opens_on_the_run_that_was_looked_at(tmp_path: Path) -> None:
    sample_pictures.comparison(tmp_path / "pictures")
    sample_pictures.imaged_bench(tmp_path)
    app = dashboard(sample_pictures.COMPARE_ID, sample_runs.BENCH_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "1 of 4")
        await pilot.press("4")
        await until_shown(pilot, "iteration speed")
        await pilot.press("5")
        await until_shown(pilot, sample_runs.BENCH_ID, "1 of 1", "this row")
