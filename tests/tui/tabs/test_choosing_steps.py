"""Steps on the Select tab, and the effect by step on the Profile tab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.domain.files import mixed_file
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.requests import AnyRequest, BenchRequest, VerifyRequest
from pixart_tui.reporting.step_shares import LEVELS
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.state.watch import RunWatch
from pixart_tui.tui.tabs.profile.steps import strip_lines
from pixart_tui.tui.tabs.select.head import head_lines
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting
from pixart_tui.tui.tabs.select.solving import solve, why_no_steps
from tests.tui import adjoint_runs, sample_runs
from tests.tui.adjoint_runs import INT8
from tests.tui.pilots import Starts, dashboard, screen_text, shown, until, until_shown
from tests.tui.sample_runs import QUANT_TYPE

BOTH = adjoint_runs.small(QUANT_TYPE, INT8, seeds=2)
SHARE = RuleSetting("flops-share", 80)


def view_of_run(output: Path, plan: adjoint_runs.Plan = BOTH) -> ProfileView:
    adjoint_runs.finished(output, plan)
    view = RunWatch(lambda: sample_runs.NOW_S).read().profile
    assert view is not None
    return view


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_e_chooses_steps_solves_again_and_saves_them(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    adjoint_runs.finished(tmp_path, BOTH)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=size) as pilot:
        await until_shown(pilot, "8 of 8 samples")
        await pilot.press("3")
        await until_shown(pilot, "of 86 layers", "90 %")
        assert "e Steps" in screen_text(pilot.app)[-1]  # type: ignore[arg-type]
        await pilot.press("e")
        await until_shown(
            pilot, "+ steps", "keeps step", " of 20; ", "quantized there too", "(95% "
        )
        await pilot.press("shift+left")
        await until_shown(pilot, "80 %", "80.")
        pane = pilot.app.query_one(SelectPane)

        def is_solved() -> bool:
            answer = pane.answer
            return answer is not None and answer.question.rule_setting == pane.rule_setting

        await until(pilot, is_solved)
        assert pane.answer is not None
        chosen = pane.answer.selection
        assert chosen is not None
        await pilot.press("s")
        await until_shown(pilot, "saved ")
        await pilot.press("e")
        await until(pilot, lambda: "keeps step" not in shown(pilot.app))  # type: ignore[arg-type]

    saved = json.loads((tmp_path / "mixed.selected.json").read_text())
    record = SelectionSidecar.model_validate_json(
        (tmp_path / "mixed.selected.meta.json").read_text()
    )
    assert record.selection == chosen
    assert chosen.kept_steps
    assert saved["kept_steps"] == chosen.kept_steps.model_dump(mode="json")
    assert saved["at_every_step"] == list(chosen.at_every_step)
    assert chosen.predicted_low is not None
    assert chosen.predicted_high is not None
    assert chosen.predicted_low < chosen.predicted_loss < chosen.predicted_high


async def test_onediffs_rule_is_left_and_a_single_type_is_saved_as_our_own_json(
    tmp_path: Path,
) -> None:
    adjoint_runs.finished(tmp_path, adjoint_runs.small(seeds=2))

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "8 of 8 samples")
        await pilot.press("3")
        await until_shown(pilot, "top percentage")
        await pilot.press("e")
        text = await until_shown(pilot, "keeps step", "FLOPs share")
        assert "top percentage " not in text.split("1-SSIM (log)")[0]
        await pilot.press("s")
        await until_shown(pilot, "saved ")

    saved = json.loads((tmp_path / "fp8_e4m3.selected.json").read_text())
    assert saved["format"].startswith("pixart-tui mixed selection")


async def test_an_exhaustive_profile_says_why_it_cannot(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86 layers")
        await pilot.press("e")
        await until_shown(pilot, "! steps cannot be chosen: the exhaustive method")
        assert not pilot.app.query_one(SelectPane).choosing_steps


async def _started(tmp_path: Path, key: str) -> AnyRequest:
    """What a key asks of a worker where steps are chosen."""
    adjoint_runs.finished(tmp_path, adjoint_runs.small(seeds=2))
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, "8 of 8 samples")
        await pilot.press("3", "e")
        await until_shown(pilot, "keeps step")
        await pilot.press(key)
        await until(pilot, lambda: len(starts.runs) == 1)

    record = starts.runs[0].record
    assert record is not None
    return record.request


async def test_steps_are_chosen_again_by_a_verification(tmp_path: Path) -> None:
    request = await _started(tmp_path, "v")
    assert isinstance(request, VerifyRequest)
    assert request.choose_steps


async def test_a_benchmark_deploys_the_file_with_its_steps(tmp_path: Path) -> None:
    request = await _started(tmp_path, "b")
    assert isinstance(request, BenchRequest)
    assert request.quant_submodules_config_path is not None
    saved = mixed_file.parse(Path(request.quant_submodules_config_path).read_text(), "it")
    assert saved.kept_steps


def test_solving_again_gives_what_solving_anew_gives(tmp_path: Path) -> None:
    view = view_of_run(tmp_path)
    last = solve(view, SHARE, choose_steps=True)
    for rule_setting in (SHARE.moved(5), RuleSetting("max-loss", -24), SHARE):
        last = solve(view, rule_setting, choose_steps=True, last=last)
        anew = solve(view, rule_setting, choose_steps=True)
        assert last.selection == anew.selection
        assert last.losses == anew.losses


def test_a_layers_loss_is_that_of_the_steps_at_which_it_is_quantized(tmp_path: Path) -> None:
    view = view_of_run(tmp_path)
    answer = solve(view, SHARE, choose_steps=True)
    assert answer.selection is not None
    assert answer.losses.keys() == answer.selection.assignments.keys()
    assert sum(answer.losses.values()) == pytest.approx(answer.selection.predicted_loss)
    assert solve(view, SHARE).losses == {}


def test_the_figures_fit_in_80_cells(tmp_path: Path) -> None:
    view = view_of_run(tmp_path)
    answer = solve(view, SHARE, choose_steps=True)
    texts = [plain(x) for x in head_lines(view, SHARE, answer, None, 80, choose_steps=True)]
    assert all(len(text) <= 80 for text in texts)
    assert answer.selection is not None
    numbers = answer.selection.kept_steps.words.removeprefix("number ")
    assert any(f"{numbers} of 20; " in text for text in texts)


def test_before_the_first_sample_there_is_nothing_to_choose_from(tmp_path: Path) -> None:
    adjoint_runs.running(tmp_path, BOTH, 0)
    view = RunWatch(lambda: sample_runs.NOW_S).read().profile
    assert view is not None
    assert why_no_steps(view) == "steps cannot be chosen yet: no sample is measured"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_strips_have_a_cell_for_each_step_and_fit(tmp_path: Path, width: int) -> None:
    view = view_of_run(tmp_path)
    assert view.shown is not None
    measured = next(score.layer.fqn for score in view.scores if score.loss is not None)
    lines = [plain(x) for x in strip_lines(view.shown, measured, width)]
    assert all(len(text) <= width for text in lines)
    text = "\n".join(lines)
    assert "all layers " in text
    assert "this one " in text
    assert sum(character in LEVELS for character in text) == 40
    assert ("most at step 20 (" in text) is (width == 120)


async def test_the_profile_tab_shows_the_effect_by_step(tmp_path: Path) -> None:
    adjoint_runs.finished(tmp_path, adjoint_runs.small(seeds=2))

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, " by step  all layers ", "this one ")
        await pilot.press("enter")
        await until_shown(pilot, "effect on the image by denoising step", "all layers together")
