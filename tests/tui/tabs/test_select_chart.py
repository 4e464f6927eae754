"""The curve, the map of a selection, and what was verified beside what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.events import AttemptFinished, AttemptStarted, Event, VerifyFinished
from pixart_tui.domain.requests import VerifyRequest
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import Selection, select
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    JointLoss,
    JointMeasurement,
    Verification,
)
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.run import Run, RunState
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import Line, plain
from pixart_tui.tui.state import watch as watch_module
from pixart_tui.tui.state.overview import ProfileView, RunView
from pixart_tui.tui.tabs.select.assignments import assignment_mark, legend
from pixart_tui.tui.tabs.select.chart import ONEDIFF_VERIFIED, VERIFIED, chart_lines
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.tabs.select.plot import Marked, Plot, Point, plot_of
from pixart_tui.tui.widgets.map_view import MapView
from tests.tui import alpha_runs, sample_runs
from tests.tui.pilots import dashboard, screen_text, until, until_shown
from tests.tui.views import view_of

QUANT_TYPE = sample_runs.QUANT_TYPE
PROFILE = alpha_runs.profile(list(alpha_runs.exhaustive_events(283)))
SCORES = PROFILE.scores()
RUN = RunView("0", RunState.DONE, None, "", 283, 283, None, None, 0.0, "", "", None, (), ())
VIEW = view_of(PROFILE, run=RUN)
PLOT = plot_of(VIEW)
BY_FLOPS = Plot(
    "flops", (Point(0.1, 1e-5), Point(0.9, 1e-3)), (Point(0.1, 2e-5), Point(1, 2e-3)), {}
)

shares = st.floats(0, 1)
losses = st.floats(0, 0.5)
points = st.builds(Point, shares, losses)


@given(points, st.one_of(st.none(), points), st.integers(30, 150), st.integers(1, 40))
def test_a_chart_fits_and_shows_every_point(
    chosen: Point, verified: Point | None, width: int, height: int
) -> None:
    high = verified.loss * 1.2 if verified else 0.0
    marked = Marked(chosen, verified, verified.loss if verified else 0.0, high, None)

    lines = chart_lines(BY_FLOPS, marked, width, height)

    assert len(lines) <= height
    assert max((len(plain(line)) for line in lines), default=0) <= width
    if _drawing(lines):
        assert _drawing(lines).count(glyphs.POINT) == 1
    alone = _drawing(chart_lines(BY_FLOPS, replace(marked, chosen=None), width, height))
    assert alone.count(VERIFIED) == (1 if verified and alone else 0)


def _drawing(lines: Sequence[Line]) -> str:
    """What stands to the right of the axis."""
    texts = [plain(line) for line in lines]
    return "\n".join(text for text in texts if text[8:9] == glyphs.FLOOR)


@given(points, points)
def test_moving_the_chosen_point_changes_two_cells_at_most(one: Point, other: Point) -> None:
    before = chart_lines(BY_FLOPS, Marked(one), 60, 20)
    after = chart_lines(BY_FLOPS, Marked(other), 60, 20)

    pairs = zip("".join(map(plain, before)), "".join(map(plain, after)), strict=True)
    assert sum(was != now for was, now in pairs) <= 2


def test_our_curve_is_never_above_the_onediffs_rule() -> None:
    for ours in PLOT.ours:
        as_far = [seed.loss for seed in PLOT.onediff_rule if seed.share >= ours.share - 1e-9]
        assert all(ours.loss <= loss + 1e-9 for loss in as_far)
    assert len(PLOT.onediff_rule) == 13


def test_with_times_the_axis_is_time_and_everything_that_pays_is_all_of_it() -> None:
    pays = [score.layer.fqn for score in SCORES if score.latency_s and score.latency_s.speeds_up]
    measured = {fqn: QUANT_TYPE for fqn in pays if (fqn, QUANT_TYPE) in PLOT.gains}

    assert PLOT.axis == "time"
    assert PLOT.share(measured) == pytest.approx(1.0)
    assert PLOT.share({}) == 0.0


def test_the_map_of_a_selection_tells_kept_from_what_cannot_be_quantized() -> None:
    selection = select(SCORES, QUANT_TYPE, "top-percentage", 50)
    marks = {score.layer.fqn: assignment_mark(score, selection)[0] for score in SCORES}
    counts = [list(marks.values()).count(mark) for mark in "●○✗-"]

    assert counts == [141, 141, 1, 7]
    told = plain(legend(selection, SCORES))
    for text in (f"● {QUANT_TYPE}: 141", "○ kept: 141", "- excluded: 7", "✗ NaN: 1"):
        assert text in told


def test_each_quant_type_has_its_own_glyph() -> None:
    names = [score.layer.fqn for score in SCORES[:3]]
    kinds = ("fp8_e4m3_e4m3_dynamic", "int8_dynamic", "int4_weightonly")
    selection = _selection(names).replace(assignments=dict(zip(names, kinds, strict=True)))
    marks = [assignment_mark(score, selection) for score in SCORES[:4]]

    assert len({mark[0] for mark in marks}) == 4
    assert all(kind in plain(legend(selection, SCORES)) for kind in kinds)


def _selection(chosen: list[str], rule: Rule = "max-loss", parameter: float = 0.01) -> Selection:
    return Selection(
        rule=rule,
        parameter=parameter,
        quant_type=QUANT_TYPE,
        assignments=dict.fromkeys(chosen, QUANT_TYPE),
        chosen=tuple(chosen),
        kept=(),
        flops_share=0.6,
        predicted_loss=0.009,
    )


def verified_run(tmp_path: Path, budget: float = 0.01) -> Run:
    """A verification of the sample profile's selection that has ended."""
    chosen = [x.fqn for x in sample_runs.layers() if x.kind.startswith("attn")]
    loss = JointLoss(loss=0.0081, low=0.0071, high=0.0093, psnr_db=31.0, images=16)
    seed = loss.replace(loss=0.0123)
    trial = JointMeasurement(
        purpose="onediff-rule",
        label="top percentage",
        assignments=dict.fromkeys(chosen, QUANT_TYPE),
        predicted=0.01,
        measured=seed,
        elapsed_s=1.0,
    )
    sets = [ImageSet(prompts=(f"prompt {i}", f"other {i}"), seeds=(i,)) for i in range(3)]
    verification = Verification(
        fitting=sets[0],
        repairing=sets[1],
        reporting=sets[2],
        budget=budget,
        predicted=0.009,
        repair=loss,
        verified=loss,
        onediff_rule=trial,
    )
    events: list[Event] = [
        AttemptStarted(attempt=1),
        VerifyFinished(selection=_selection(chosen), verification=verification),
        AttemptFinished(state="done"),
    ]
    request = VerifyRequest(
        profiles=(str(tmp_path / "fp8_e4m3.json"),),
        rule="max-loss",
        parameter=0.01,
        output=str(tmp_path / "fp8_e4m3.selected.json"),
    )
    return sample_runs.write_run(request, "5a3c0007", events)


async def test_what_was_verified_stands_beside_what_was_predicted(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    verified_run(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "t", "t")
        await until_shown(pilot, "verified 0.008100 (0.007100-0.009300, 16 images)", "S top perc")
        text = "\n".join(screen_text(app))

    assert "1-SSIM  predicted 0.009999   verified 0.008100" in text
    assert " verified: max loss 0.01, 64 layers  budget 0.01 holds" in text
    assert "top percentage 0.012300" in text
    assert f"{VERIFIED} verified" in text
    assert sum(row[38:].count(f"{VERIFIED}") for row in text.splitlines()[7:18]) == 1
    assert sum(row[47:].count(f"{ONEDIFF_VERIFIED}") for row in text.splitlines()[7:18]) == 1
    assert max(map(len, text.splitlines())) <= 80


async def test_attaching_to_a_verification_opens_the_profile_that_it_is_about(
    tmp_path: Path,
) -> None:
    sample_runs.finished_profile(tmp_path)
    run = verified_run(tmp_path)
    sample_runs.finished_profile(tmp_path / "other", "5a3c0000")
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "verified 0.008100")

        assert app.tab == "select"
        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.PROFILE_ID


async def test_a_verification_waits_for_its_profile_that_the_first_reading_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_runs.finished_profile(tmp_path)
    run = verified_run(tmp_path)
    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", -1.0)
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, run.id)
        monkeypatch.setattr(watch_module, "_NEW_RUNS_S", 60.0)
        await until(pilot, lambda: app.tab == "select")

        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.PROFILE_ID


async def test_a_verification_of_a_file_alone_is_shown_in_the_list(tmp_path: Path) -> None:
    run = verified_run(tmp_path)
    sample_runs.finished_profile(tmp_path / "other")
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "max-loss 0.01 on cpu")

        assert app.tab == "runs"
        assert app.run_shown is not None
        assert app.run_shown.id == run.id


async def test_a_verified_figure_of_another_setting_says_so(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    verified_run(tmp_path, budget=0.001)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "verified before: max loss 0.01", "budget 0.001 does not hold")


@pytest.mark.parametrize("size", [(120, 36), (200, 50)])
async def test_a_high_terminal_shows_the_curve_and_the_layers(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=size) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers", "1-SSIM (log)", "summed", "0.ff.net.0.proj")


async def test_at_80x24_the_map_the_curve_and_the_figures_are_on_the_screen(
    tmp_path: Path,
) -> None:
    alpha_runs.finished(tmp_path, list(alpha_runs.exhaustive_events(283)))
    app = dashboard(sample_runs.PROFILE_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "283 of 283")
        await pilot.press("3")
        await until_shown(pilot, "253 of 290 layers", "1-SSIM (log) over share of time saved")
        await until(pilot, lambda: glyphs.POINT in "\n".join(screen_text(app)[7:20]))
        rows = screen_text(app)
        cells = "".join(row[11:39] for row in rows[8:21])
        before = app.query_one("#select-map", MapView).text
        await pilot.press("left")
        await until_shown(pilot, "250 of 290 layers")
        after = app.query_one("#select-map", MapView).text

    assert [cells.count(mark) for mark in "●○✗-"] == [253, 29, 1, 7]
    assert max(map(len, rows)) <= 80
    grid = zip(before.splitlines()[:14], after.splitlines()[:14], strict=True)
    assert sum(a != b for was, now in grid for a, b in zip(was, now, strict=True)) == 3


async def test_a_running_profile_is_not_plotted_again_at_every_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sample_runs.running_profile(tmp_path, measured=30)
    plotted: list[int] = []

    def counted(view: ProfileView) -> Plot:
        plotted.append(view.run.done)
        return plot_of(view)

    monkeypatch.setattr("pixart_tui.tui.tabs.select.pane.plot_of", counted)
    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "30 of 85")
        await pilot.press("3")
        await until_shown(pilot, "1-SSIM (log) over")
        for measured in (31, 32, 33):
            _append(run, list(sample_runs.profile_events(measured))[-2:])
            await until(pilot, lambda done=measured: _done(pilot.app) == done)  # type: ignore[misc]

    assert plotted == [30]


def _append(run: Run, events: list[Event]) -> None:
    with JournalWriter(run.paths.events) as journal:
        for event in events:
            journal.append(event)


def _done(app: object) -> int:
    assert isinstance(app, DashboardApp)
    run = app.query_one(SelectPane).run
    return run.done if run else -1
