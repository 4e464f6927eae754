"""The tabs of a profile whose layers were timed; the times are made up here."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.domain.events import ArtifactWritten, AttemptFinished, Event, LatencyMeasured
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.runs.run import Run
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, until_shown

SLOW_KINDS = ("to_k", "to_v")
SIZES = [(80, 24), (120, 36)]


def _latencies() -> dict[str, Latency]:
    """Projections to keys and values get slower, everything else twice as fast."""
    times_s = {layer.fqn: layer.flops * 1e-12 + 1e-6 for layer in sample_runs.layers()}
    return {
        fqn: Latency(
            unquantized=time_s,
            quantized=None
            if fqn in sample_runs.EXCLUDED
            else time_s * (1.25 if fqn.endswith(SLOW_KINDS) else 0.5),
        )
        for fqn, time_s in times_s.items()
    }


def _timed_profile(output: Path, measured: int = 85) -> Run:
    request = sample_runs.profile_request(output)
    events: list[Event] = list(sample_runs.profile_events(measured))
    timed = LatencyMeasured(quant_type=sample_runs.QUANT_TYPE, latencies=_latencies())
    written = ArtifactWritten(role="profile", path=request.output)
    events = [*events[:3], timed, *events[3:], written, AttemptFinished(state="done")]
    return sample_runs.write_run(request, sample_runs.PROFILE_ID, events, step_s=0.5)


@pytest.mark.parametrize("size", SIZES)
async def test_the_profile_marks_layers_that_get_no_faster(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    _timed_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=size) as pilot:
        text = await until_shown(pilot, "85 of 85", "≈ no faster quantized: 32 layers")
        screen = screen_text(pilot.app)  # type: ignore[arg-type]

    rows = [row for row in text.splitlines() if "≈" in row and "no faster" not in row]
    assert len(rows) == 32
    assert all(".to_k " in row or ".to_v " in row for row in rows)
    assert "linear layers " in text
    assert " ms a step" in text
    assert len(screen) == size[1]
    assert all(len(row) <= size[0] for row in screen)


@pytest.mark.parametrize("size", SIZES)
async def test_select_offers_the_time_share_and_never_what_does_not_pay(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    _timed_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=size) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "g")
        first = await until_shown(pilot, "76 of 86 layers", "ms a step saved", "≈ no faster: ")
        await pilot.press("t", "t")
        text = await until_shown(pilot, "time share", "70 %", " of linear time", "predicted")
        screen = screen_text(pilot.app)  # type: ignore[arg-type]

    assert "●≈" in first
    assert "●≈" not in text
    assert text.count("○≈") == 32
    times = next(row for row in text.splitlines() if "of linear time" in row)
    assert 70 <= float(times.split("%")[0]) < 72
    assert "≈" not in times
    assert any("1-SSIM" in row for row in screen)


async def test_the_saved_selection_tells_the_time(tmp_path: Path) -> None:
    _timed_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(160, 40)) as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "t", "t")
        await until_shown(pilot, "70 %", " of linear time", "predicted")
        await pilot.press("s")
        await until_shown(pilot, "saved ")

    text = (tmp_path / "fp8_e4m3.selected.meta.json").read_text()
    selection = sidecar.parse(text, "meta", SelectionSidecar).selection
    assert selection.rule == "time-share"
    assert selection.time_share is not None
    assert selection.time_share >= 0.7
    assert selection.predicted_time_saved_s is not None
    assert selection.predicted_time_saved_s > 0


async def test_without_times_their_rule_is_not_offered(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3", "t", "t")
        text = await until_shown(pilot, "0.01", "predicted")

    assert "time share" not in text
    assert "linear time" not in text
    assert "≈" not in text
