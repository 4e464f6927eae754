from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.domain.events import AttemptStarted, Event, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import BenchRequest, VerifyRequest
from pixart_tui.domain.selecting import onediff_rule
from pixart_tui.domain.selecting.selection import select
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.state.overview import RunView
from pixart_tui.tui.tabs.select.layers import Columns, layer_lines
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting
from pixart_tui.tui.tabs.select.solving import question_of
from tests.adjoint_effects import sample_effects
from tests.samples import QUANT_TYPE, conditions, layer, measurement, score
from tests.tui import sample_runs
from tests.tui.pilots import Starts, dashboard, shown, until, until_shown, until_told
from tests.tui.views import view_of, view_of_scores


async def test_begins_with_the_onediffs_rule_at_90_percent(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "✓ done")
        await pilot.press("3", "g")
        text = await until_shown(pilot, "76 of 86 layers", "kept as they are: 10 layers")
        chosen = pilot.app.query_one(SelectPane).body.text

    assert "90 %" in text
    assert "not verified: v measures all of them at once" in text
    assert chosen.count("●") == 76


async def test_arrows_move_the_parameter_and_solve_again(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("shift+left", "right")
        await until_shown(pilot, "81 %", "68 of 86 layers")


async def test_each_rule_has_its_own_parameter(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "t")
        await until_shown(pilot, "90 %", "90.", "of FLOPs", "predicted")
        await pilot.press("t")
        text = await until_shown(pilot, "0.01 ", "76.86% of FLOPs")
        loss = next(row for row in text.splitlines() if "predicted" in row)

    assert float(loss.split("predicted ")[1].split()[0]) <= 0.01


async def test_a_share_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "t", "shift+right")
        await until_shown(pilot, "100 %", "! the layers that can be quantized do not reach")


async def test_s_saves_what_onediff_reads_and_says_where(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    saved = tmp_path / "fp8_e4m3.selected.json"

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(160, 40)) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("s")
        await until_shown(pilot, f"saved {saved}")

    layers = onediff_file.parse(saved.read_text(), "saved")
    beside = Path(onediff_file.sidecar_path(saved))
    record = sidecar.parse(beside.read_text(), "saved", SelectionSidecar)
    assert len(layers) == 76
    assert tuple(layers) == record.selection.chosen
    assert onediff_rule.chosen_layers(layers, 100) == record.selection.chosen
    assert record.profile == "fp8_e4m3.json"


async def test_b_benchmarks_the_saved_selection_and_moves_to_bench(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("b")
        await until(pilot, lambda: len(starts.runs) == 1)
        await until_shown(pilot, f"run {starts.runs[0].id}", "no cases yet")

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, BenchRequest)
    assert request.model == "pixart-emoji"
    assert request.quantize
    assert request.top_percentage == 100
    assert request.compilers == ("none", "compile")
    assert request.quant_submodules_config_path == str(tmp_path / "fp8_e4m3.selected.json")
    assert request.output == str(tmp_path / "fp8_e4m3.bench.json")
    assert len(json.loads((tmp_path / "fp8_e4m3.selected.json").read_text())) == 76


async def test_an_unfinished_profile_can_be_looked_at_but_not_saved(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("3")
        await until_shown(pilot, "30 of 86 layers", "51 layers not measured yet")
        await pilot.press("s")
        await until_told(pilot, "saved from a finished one")

    assert not (tmp_path / "fp8_e4m3.selected.json").exists()


async def test_a_selection_of_nothing_is_not_saved(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", *["shift+left"] * 9)
        await until_shown(pilot, "0 %", "0 of 86 layers")
        await pilot.press("s")
        await until_told(pilot, "no layer is chosen")

    assert not (tmp_path / "fp8_e4m3.selected.json").exists()


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the directory should be")
    sample_runs.finished_profile(blocked)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("s")
        await until_told(pilot, "could not be written")


async def test_without_a_profile_it_says_so(tmp_path: Path) -> None:
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("3")
        await until_shown(pilot, "No profile to select from yet")
        await pilot.press("s", "b", "left", "t")
        assert "No profile" in shown(app)


async def test_v_verifies_the_selection_under_the_settings_rule(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("v")
        await until(pilot, lambda: len(starts.runs) == 1)
        await until_shown(pilot, "verifying")

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, VerifyRequest)
    assert request.profiles == (str(tmp_path / "fp8_e4m3.json"),)
    assert (request.rule, request.parameter) == ("top-percentage", 90)
    assert request.output == str(tmp_path / "fp8_e4m3.selected.json")


async def test_p_shows_the_layers_and_the_curve_again(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "1-SSIM (log) over share of FLOPs", "top percentage", "this one")
        await pilot.press("g")
        await until_shown(pilot, "kept as they are")
        assert pilot.app.focused is pilot.app.query_one(SelectPane).body
        await pilot.press("g")
        await until_shown(pilot, "1-SSIM (log) over share of FLOPs")


def test_what_is_scored_later_asks_the_question_again() -> None:
    run = RunView("0", RunState.RUNNING, None, "", 1, 1, None, None, 0.0, "", "", None, (), ())
    before = Profile(conditions=conditions(), layers=(layer("a"),), excluded={}, measurements=())
    imaged = before.replace(measurements=(measurement("a"),))
    effects = sample_effects("robot", {QUANT_TYPE: [0.01]})
    adjoint = before.replace(effects=(effects,))
    asked = [question_of(view_of(x, run=run), RuleSetting()) for x in (before, imaged, adjoint)]
    assert asked[0] != asked[1]
    assert asked[0] != asked[2]


def test_a_layer_without_images_is_not_told_to_be_equal() -> None:
    known = score("a", 0.99)
    run = RunView("0", RunState.DONE, None, "", 1, 1, None, None, 0.0, "", "", None, (), ())
    view = view_of_scores([known], run=run)
    selection = select([known], known.layer.fqn, "top-percentage", 100)
    rows = layer_lines(view, selection, Columns.of(view, 79))
    text = "\n".join(plain(row) for row in rows)
    assert "0.010000" in text
    assert "equal" not in text


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_profile_that_is_not_planned_yet_has_nothing_to_select(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    started: list[Event] = [
        AttemptStarted(attempt=1),
        StageChanged(stage=Stage.LOADING, detail="the pipeline"),
    ]
    sample_runs.write_run(
        sample_runs.profile_request(tmp_path),
        sample_runs.PROFILE_ID,
        started,
        worker=sample_runs.this_process(),
    )
    async with dashboard(sample_runs.PROFILE_ID).run_test(size=size) as pilot:
        await until_shown(pilot, "loading")
        await pilot.press("3")
        await until_shown(pilot, "the profile has not begun to measure")
        await pilot.press("right", "g", "t")
        await until_shown(pilot, "the profile has not begun to measure")
