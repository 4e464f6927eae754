"""A profile of the adjoint method on the screens: live, in detail, under several quant types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from pixart_tui.domain.events import LookTaken, PassPlanned, SampleMeasured
from pixart_tui.domain.files.layer_file import read
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.looks import look_at
from pixart_tui.domain.requests import BenchRequest, CompareRequest, VerifyRequest
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.tui.tabs.profile.pane import ProfilePane
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.widgets.map_view import MapView
from tests.tui import adjoint_runs, sample_runs
from tests.tui.adjoint_runs import INT8
from tests.tui.pilots import Starts, dashboard, shown, until, until_shown, until_told
from tests.tui.sample_runs import PROMPTS, QUANT_TYPE

SIZES = [(80, 24), (120, 36), (200, 50)]
BOTH = adjoint_runs.small(QUANT_TYPE, INT8, seeds=1)


def one_line(text: str) -> str:
    """The text without line ends: what is said may go over several lines."""
    return " ".join(text.split())


async def until_said(pilot: Pilot[None], *texts: str) -> None:
    app = pilot.app
    assert hasattr(app, "tab")
    await until(pilot, lambda: all(text in one_line(shown(app)) for text in texts))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
async def test_each_sample_and_each_look_is_told_when_it_is_known(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    plan = adjoint_runs.small()
    run = adjoint_runs.running(tmp_path, plan, 6)
    samples = plan.samples()

    async with dashboard(run.id).run_test(size=size) as pilot:
        await until_said(pilot, "6 of 16 samples", "ETA 0:40", "after 4 of 16 samples: ")
        await until_said(pilot, "8 draws, 16 samples, 20 steps", "nonlinear part: ")
        assert "measurement noise" not in shown(pilot.app)  # type: ignore[arg-type]
        assert "▶ now" not in pilot.app.query_one(MapView).text
        with JournalWriter(run.paths.events) as journal:
            journal.append(SampleMeasured(sample=samples[6]))
            journal.append(SampleMeasured(sample=samples[7]))
            look = look_at(samples[:8], plan.quant_types, 90, 16, until_settled=False)
            journal.append(LookTaken(look=look.replace(outcome="time")))
        await until_said(pilot, "stopped by --max-minutes after 8 of 16 samples; ")


async def test_less_memory_is_told_with_its_reason(tmp_path: Path) -> None:
    run = adjoint_runs.running(tmp_path)
    smaller = PassPlanned(
        samples=1,
        draws=1,
        keeps_hidden_states=False,
        keeps_weights=False,
        decoder_at_once=False,
        reason="the GPU ran out of memory: 3 GiB",
    )
    async with dashboard(run.id).run_test() as pilot:
        await until_said(pilot, "6 of 16 samples")
        with JournalWriter(run.paths.events) as journal:
            journal.append(smaller)
        told = "! passes of 1 sample, 1 draw at a time; the GPU ran out of memory: 3 GiB"
        await until_said(pilot, told)


async def test_samples_and_prompts_that_stand_out_are_named(tmp_path: Path) -> None:
    plan = adjoint_runs.small(out_of_range=("robot",), levels={"owl": 30.0}, seeds=1)
    adjoint_runs.finished(tmp_path, plan)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_said(
            pilot,
            '! "robot" (seed 0) is out of the linear range: the sum of effects predicts ',
            "count less",
            '! "owl" diverges: it outweighs the other prompts',
        )
        await pilot.press("down", "enter")
        text = await until_shown(pilot, "known by", "counts")
    rows = {row.split()[0]: row for row in text.splitlines() if row[1:].startswith(PROMPTS)}
    assert float(rows["robot"].split()[-1]) < 1
    assert rows["owl"].split()[-1] == "1"


async def test_calls_that_are_no_steps_are_told_as_calls(tmp_path: Path) -> None:
    plan = adjoint_runs.small(calls=39, seeds=1)
    adjoint_runs.finished(tmp_path, plan)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(120, 70)) as pilot:
        await until_said(pilot, "4 of 4 samples", "39 calls")
        await pilot.press("down", "enter")
        await until_shown(pilot, "effect on the image by transformer call", "most at call")


async def test_y_shows_the_next_quant_type_in_the_table_and_in_detail(tmp_path: Path) -> None:
    adjoint_runs.finished(Path("/data"), BOTH)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, f"{QUANT_TYPE} (1 of 2)", "fp8_e4m3.json", "int8_dynamic.json")
        table = pilot.app.query_one(ProfilePane).table
        await until(pilot, lambda: "excluded" in table.text)
        await pilot.press("y")
        await until_shown(pilot, f"{INT8} (2 of 2)")
        await until(pilot, lambda: "excluded" not in table.text)
        await pilot.press("enter")
        first = await until_shown(pilot, "known by")
        await pilot.press("y")
        await until_shown(pilot, f"{QUANT_TYPE} (1 of 2)")
        await until(pilot, lambda: shown(pilot.app) != first)  # type: ignore[arg-type]
        await pilot.press("y", "i")
        await pilot.press("enter")
        await until(pilot, lambda: len(starts.runs) == 1)

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, CompareRequest)
    assert request.quant_type == INT8
    assert Path(request.output).name.startswith("int8_dynamic.")


async def test_y_is_not_offered_where_there_is_one_quant_type(tmp_path: Path) -> None:
    adjoint_runs.finished(tmp_path, adjoint_runs.small(seeds=1))

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "4 of 4 samples")
        assert pilot.app.query_one(ProfilePane).check_action("next_type", ()) is False
        await pilot.press("3")
        await until_shown(pilot, "top percentage")
        assert pilot.app.query_one(SelectPane).check_action("next_type", ()) is False


async def test_a_selection_takes_all_quant_types_of_the_run_or_one(tmp_path: Path) -> None:
    adjoint_runs.finished(tmp_path, BOTH)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, "4 of 4 samples")
        await pilot.press("3")
        await until_shown(pilot, f"{QUANT_TYPE} + {INT8}", "FLOPs share", "of 86 layers")
        assert "top percentage" not in shown(pilot.app)  # type: ignore[arg-type]
        pane = pilot.app.query_one(SelectPane)
        await until(pilot, lambda: pane.answer is not None and pane.answer.selection is not None)
        await pilot.press("s")
        await until_shown(pilot, "saved")
        assert (tmp_path / "mixed.selected.json").is_file()
        await pilot.press("v")
        await until(pilot, lambda: len(starts.runs) == 1)
        await until_shown(pilot, "verifying")
        await pilot.press("y")
        await until_shown(pilot, "top percentage", "not verified")
        await pilot.press("b")
        await until(pilot, lambda: len(starts.runs) == 2)

    saved = SelectionSidecar.model_validate_json(
        (tmp_path / "mixed.selected.meta.json").read_text()
    )
    assert saved.profiles == ("fp8_e4m3.json", "int8_dynamic.json")
    assert set(saved.selection.assignments.values()) <= {QUANT_TYPE, INT8}
    verify, bench = (run.record.request for run in starts.runs if run.record)
    assert isinstance(verify, VerifyRequest)
    assert [Path(path).name for path in verify.profiles] == ["fp8_e4m3.json", "int8_dynamic.json"]
    assert verify.output == str(tmp_path / "mixed.selected.json")
    assert isinstance(bench, BenchRequest)
    assert bench.quant_type == QUANT_TYPE
    assert bench.quant_submodules_config_path == str(tmp_path / "fp8_e4m3.selected.json")
    assert json.loads((tmp_path / "fp8_e4m3.selected.json").read_text())


async def test_a_selection_of_several_quant_types_is_benchmarked(tmp_path: Path) -> None:
    rising = [0.001 * (1 + number % 7) for number in range(86)]
    falling = [0.001 * (7 - number % 7) for number in range(86)]
    plan = adjoint_runs.small(QUANT_TYPE, INT8, seeds=1)
    mixed = adjoint_runs.Plan(plan.layers, {QUANT_TYPE: rising, INT8: falling}, {}, seeds=1)
    adjoint_runs.finished(tmp_path, mixed)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, "4 of 4 samples")
        await pilot.press("3")
        pane = pilot.app.query_one(SelectPane)
        await until(pilot, lambda: pane.answer is not None and pane.answer.selection is not None)
        drawn = pane.query_one(MapView)
        await until(pilot, lambda: f"{QUANT_TYPE}:" in drawn.text and f"{INT8}:" in drawn.text)
        await pilot.press("b")
        await until(pilot, lambda: len(starts.runs) == 1)
    record = starts.runs[0].record
    assert record is not None
    assert isinstance(record.request, BenchRequest)
    assert record.request.quant_type == "mixed"
    chosen = read(tmp_path / "mixed.selected.json").mixed
    assert chosen is not None
    assert set(chosen.quant_types) == {QUANT_TYPE, INT8}
    assert "--quantize-config" not in record.request.command


async def test_an_unfinished_profile_says_what_is_missing(tmp_path: Path) -> None:
    adjoint_runs.running(tmp_path, adjoint_runs.small(), 5)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "5 of 16 samples")
        await pilot.press("3")
        await until_shown(pilot, "5 of 16 samples measured: to be saved once the profile is done")
        pane = pilot.app.query_one(SelectPane)
        await until(pilot, lambda: pane.answer is not None and pane.answer.selection is not None)
        await pilot.press("s")
        await until_told(pilot, "5 of 16 samples are measured")


async def test_attention_is_shown_as_a_quant_type_of_its_own() -> None:
    plan = adjoint_runs.with_attention()
    adjoint_runs.finished(Path("/data"), plan)
    starts = Starts()

    async with dashboard(sample_runs.PROFILE_ID, starts=starts).run_test() as pilot:
        await until_shown(pilot, f"{QUANT_TYPE} (1 of 2)", "fp8_attention.json")
        await pilot.press("y")
        await until_shown(pilot, f"{FP8_ATTENTION} (2 of 2)")
        table = pilot.app.query_one(ProfilePane).table
        await until(pilot, lambda: "7.attn1" in table.text and "attn1.to_q" not in table.text)
        await pilot.press("enter")
        await until_shown(pilot, "known by")
        await pilot.press("i")
        await until_told(pilot, "pictures are of layers")
        await pilot.press("3")
        pane = pilot.app.query_one(SelectPane)
        await until(pilot, lambda: pane.answer is not None and pane.answer.selection is not None)
        await until_shown(pilot, "of 86 layers")
        await pilot.press("y", "y")
        await until(pilot, lambda: pane.answer is not None and pane.answer.selection is None)
        await until_shown(pilot, "a selection decides about layers first")
    assert starts.runs == []
