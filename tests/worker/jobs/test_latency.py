"""The time of layers in a run: measured for real on the CPU in int8, cached, kept, selected by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pixart_tui.caches.latency_cache import LatencyCache, LatencyKey
from pixart_tui.cli.main import main
from pixart_tui.domain.events import Event, FloorMeasured, LatencyMeasured, LayerMeasured
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.files.onediff_file import sidecar_path
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.latency import KERNELS
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.journal import read_journal
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.run import Run, RunState
from pixart_tui.worker.attempt import work_on
from pixart_tui.worker.jobs.latency import latency_key, time_layers
from tests.samples import layer
from tests.worker.waiting import wait

_LAYERS = [layer("a"), layer("b"), layer("wide", size=512), layer("two rows", rows=2)]


def _key(quant_type: str = "int8_dynamic") -> LatencyKey:
    return LatencyKey(
        device="A CPU, 1 threads",
        torch=torch.__version__,
        triton="",
        torchao="0",
        kernels=KERNELS,
        quant_type=quant_type,
    )


def _time(told: list[Event], key: LatencyKey | None = None) -> LatencyMeasured:
    device = torch.device("cpu")
    return time_layers(_LAYERS, device, key or _key(), told.append, lambda: None)


def _details(told: list[Event]) -> list[str]:
    return [str(getattr(event, "detail", "")) for event in told]


def test_every_layer_has_the_time_of_its_shape() -> None:
    told: list[Event] = []
    found = _time(told).latencies
    assert list(found) == [x.fqn for x in _LAYERS]
    assert found["a"] == found["b"] != found["wide"]
    assert found["wide"].quantized is not None
    assert found["two rows"].quantized is None
    assert _details(told)[-1] == "3 of 3 shapes of layers are timed"


def test_the_second_run_takes_the_figures_of_the_first() -> None:
    first = _time([])
    told: list[Event] = []
    second = _time(told)
    quantized = ("a", "b", "wide")
    assert [first.latencies[x] for x in quantized] == [second.latencies[x] for x in quantized]
    assert _details(told)[0] == "2 of 3 shapes of layers are timed"


def test_a_damaged_cache_is_told_and_measured_again() -> None:
    path = LatencyCache.open(_key()).path
    path.parent.mkdir(parents=True)
    path.write_text("{")
    told: list[Event] = []
    assert len(_time(told).latencies) == len(_LAYERS)
    assert "cannot be used" in _details(told)[0]
    assert len(LatencyCache.open(_key()).known) == 2


def test_a_simulated_quant_type_is_given_no_time() -> None:
    found = _time([], _key("fp8_e4m3_e4m3_dynamic"))
    assert found.latencies == {}
    assert "compute capability 8.9" in found.reason
    assert not LatencyCache.open(_key()).path.exists()


def test_the_threads_are_part_of_what_a_processors_time_holds_for() -> None:
    cpu = Machine(device="cpu", device_name="EPYC", cpu_cores=2, memory_bytes=1, os="Linux")
    gpu = cpu.replace(device="cuda", device_name="NVIDIA H100")
    assert latency_key(cpu, {}, "int8_dynamic", 2).device == "EPYC, 2 threads"
    assert latency_key(gpu, {}, "int8_dynamic", 2).device == "NVIDIA H100"


def _new(output: Path, quant_type: str = "int8_dynamic") -> Run:
    return create_run(
        ProfileRequest(
            model="synthetic:alpha-tiny",
            prompts=("robot",),
            num_inference_steps=1,
            quant_type=quant_type,
            method="exhaustive",
            output=str(output),
        )
    )


def _work(run: Run) -> None:
    """One attempt as the worker makes it, in this process: it need not import torch once more."""
    work_on(run.paths.directory)
    run.poll()


def test_a_run_times_its_layers_once_before_anything_else_and_resuming_reuses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8_dynamic.json"
    run = _new(output)
    start_worker(run)
    wait(run, lambda r: bool(r.snapshot.profiling.latencies) or r.state().is_finished)
    cancel(run)
    assert run.snapshot.profiling.latencies, run.log_tail()
    before = run.snapshot.profiling.latencies["int8_dynamic"]
    start_worker(run)
    wait(run, lambda r: r.state().is_finished)
    assert run.state() is RunState.DONE, run.log_tail()

    events = [entry.event for entry in read_journal(run.paths.events)]
    kinds = [type(event) for event in events]
    assert kinds.count(LatencyMeasured) == 1
    assert kinds.index(LatencyMeasured) < kinds.index(FloorMeasured) < kinds.index(LayerMeasured)
    text = Path(sidecar_path(output)).read_text()
    profile = sidecar.parse(text, "sidecar", ProfileSidecar).profile
    assert profile.latencies == before.latencies
    assert len(profile.latencies) == len(profile.layers)
    _check_selections(output, capsys)


def _check_selections(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ``select`` makes of times that were really measured, whatever they are."""
    assert main(["select", str(profile), "--flops-share", "0.5", "--json"]) == 0
    by_flops = json.loads(capsys.readouterr().out)
    assert 0 < by_flops["time_share"] < 1
    assert isinstance(by_flops["predicted_time_saved_s"], float)
    scores = sidecar.parse(
        Path(sidecar_path(profile)).read_text(), "sidecar", ProfileSidecar
    ).profile.scores()
    slow = [s.layer.fqn for s in scores if s.ssim is not None and s.latency_s and s.no_speedup]
    assert by_flops["no_speedup"] == slow
    paying = [s.latency_s.unquantized for s in scores if s.latency_s and s.latency_s.speeds_up]
    total = sum(s.latency_s.unquantized for s in scores if s.latency_s)
    reachable = sum(paying) / total
    assert main(["select", str(profile), "--time-share", str(min(reachable + 0.01, 1))]) == 2
    assert "layers that pay do not reach" in capsys.readouterr().err


def test_a_profile_without_times_is_not_selected_by_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _new(tmp_path / "fp8.json", "fp8_e4m3_e4m3_dynamic")
    _work(run)
    assert run.state() is RunState.DONE
    (latency,) = run.snapshot.profiling.latencies.values()
    assert "compute capability" in latency.reason
    assert main(["select", str(tmp_path / "fp8.json"), "--time-share", "0.5"]) == 2
    told = capsys.readouterr().err
    assert "time of its layers" in told
    assert "pixart-tui profile" in told
    assert len(told.strip().splitlines()) <= 5
