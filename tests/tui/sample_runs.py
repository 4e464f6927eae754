"""Run directories for the dashboard's tests: plausible, deterministic, measured by nobody.

They are written with the real runs API; then their ids and times are pinned, so that a screen
shows the same text in every test run.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pixart_tui.domain.benchmarks.rows import BenchRow, Figures, RowCase, RowStatus, Statistic
from pixart_tui.domain.benchmarks.warmup import Region, RegionState, Warmup
from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    BenchPlanned,
    BenchRowUpdated,
    CallMade,
    Event,
    Failure,
    FloorMeasured,
    GeneratePlanned,
    LayerMeasured,
    ProfilePlanned,
    StageChanged,
    WarmupProgressed,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.generation import GenerationPlan, PipelineCall
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.live import Gauges, Live, Pace
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import AnyRequest, BenchRequest, GenerateRequest, ProfileRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.identity import WorkerIdentity, boot_id, identify_self, start_ticks
from pixart_tui.runs.journal import JournalWriter, read_journal
from pixart_tui.runs.live import write_live
from pixart_tui.runs.run import Run

START_S = 1_760_000_000.0
NOW_S = START_S + 95.0
QUANT_TYPE = "fp8_e4m3_e4m3_dynamic"
PROMPTS = ("red apple", "robot", "sailboat", "owl")
PROFILE_ID, BENCH_ID, STALE_ID, FAILED_ID = "5a3c0001", "5a3c0002", "5a3c0003", "5a3c0004"
GENERATE_ID = "5a3c0005"
MACHINE = Machine(
    device="cpu", device_name="Sample CPU", cpu_cores=2, memory_bytes=8 << 30, os="Linux 6.1"
)
EXCLUDED = {"proj_out": "torch._scaled_mm needs multiples of 16: N = 24"}

_WIDTH, _TOKENS, _TEXT_TOKENS = 256, 512, 64
_OUTSIDE = {
    "adaln_single.emb.timestep_embedder.linear_1": (256, _WIDTH, 2),
    "adaln_single.emb.timestep_embedder.linear_2": (_WIDTH, _WIDTH, 2),
    "adaln_single.linear": (_WIDTH, 6 * _WIDTH, 2),
    "caption_projection.linear_1": (512, _WIDTH, _TEXT_TOKENS),
    "caption_projection.linear_2": (_WIDTH, _WIDTH, _TEXT_TOKENS),
    "proj_out": (_WIDTH, 24, _TOKENS),
}


Shape = tuple[int, int, int]
"""Input features, output features, rows."""


def layers_of(
    blocks: int, width: int, tokens: int, text_tokens: int, outside: Mapping[str, Shape]
) -> tuple[Layer, ...]:
    """The layers of a PixArt: ten in each block, and those outside the blocks."""
    square, text = (width, width, tokens), (width, width, text_tokens)
    kinds = {f"attn1.to_{name}": square for name in ("q", "k", "v", "out.0")}
    kinds |= {"attn2.to_q": square, "attn2.to_k": text, "attn2.to_v": text}
    kinds |= {"attn2.to_out.0": square, "ff.net.0.proj": (width, 4 * width, tokens)}
    kinds |= {"ff.net.2": (4 * width, width, tokens)}
    shapes = {
        f"transformer_blocks.{block}.{kind}": shape
        for block in range(blocks)
        for kind, shape in kinds.items()
    }
    return tuple(
        Layer(fqn=fqn, in_features=k, out_features=n, has_bias=True, rows=m)
        for fqn, (k, n, m) in {**shapes, **outside}.items()
    )


def layers() -> tuple[Layer, ...]:
    """86 layers shaped like those of a small PixArt."""
    return layers_of(8, _WIDTH, _TOKENS, _TEXT_TOKENS, _OUTSIDE)


def conditions() -> Conditions:
    return Conditions(
        model="pixart-emoji",
        family="alpha",
        model_fingerprint="sha256:sample",
        quant_type=QUANT_TYPE,
        execution="simulated",
        method="exhaustive",
        prompts=PROMPTS,
        negative_prompt="",
        seeds=(0,),
        num_inference_steps=20,
        guidance_scale=2.0,
        height=128,
        width=128,
        baseline_dtype="float32",
        floor_dtype="bfloat16",
    )


def profile_events(measured: int) -> Iterator[Event]:
    """A profile up to its ``measured``-th layer."""
    rng = random.Random(20)
    yield AttemptStarted(attempt=1)
    yield StageChanged(stage=Stage.LOADING, detail="pixart-emoji")
    yield ProfilePlanned(
        machine=MACHINE,
        versions={"torch": "2.13.0"},
        conditions=conditions(),
        layers=layers(),
        excluded=EXCLUDED,
    )
    yield FloorMeasured(
        dtype="bfloat16",
        comparisons=tuple(
            Comparison(prompt=prompt, seed=0, ssim=0.9992, psnr_db=47.0) for prompt in PROMPTS
        ),
    )
    todo = [layer for layer in layers() if layer.fqn not in EXCLUDED]
    for done, layer in enumerate(todo[: measured + 1]):
        yield StageChanged(stage=Stage.MEASURING, detail=layer.fqn, done=done, total=len(todo))
        if done < measured:
            yield _layer_measured(layer, rng)


def _layer_measured(layer: Layer, rng: random.Random) -> LayerMeasured:
    loss = 10 ** rng.uniform(-5.5, -2.0)
    measurements = tuple(
        Measurement(
            layer=layer.fqn,
            quant_type=QUANT_TYPE,
            prompt=prompt,
            seed=0,
            ssim=1 - loss * rng.uniform(0.4, 1.6),
            psnr_db=30 - 10 * rng.uniform(0, 1) + 4 / loss**0.2,
            latent_mse=loss / 10,
        )
        for prompt in PROMPTS
    )
    return LayerMeasured(layer=layer.fqn, measurements=measurements, elapsed_s=1.5)


def bench_rows(done: int = 2) -> tuple[BenchRow, ...]:
    """The four cases of a benchmark on a GPU, of which the first ``done`` are measured."""
    figures = ((8.623, 2.568, 14.445), (10.743, 1.992, 13.855), (9.1, 2.4, 13.4), (12.9, 1.6, 12.8))
    rows = [_row(index, *figure) for index, figure in enumerate(figures)]
    return tuple(
        row if index < done else _unmeasured(row, RowStatus.RUNNING if index == done else None)
        for index, row in enumerate(rows)
    )


def _row(index: int, speed: float, e2e_s: float, peak_gib: float) -> BenchRow:
    compiled, quantized = index % 2 == 1, index >= 2
    compiler = "compile" if compiled else "none"
    case = RowCase(
        label=f"{compiler}+{QUANT_TYPE}" if quantized else compiler,
        model="pixart-emoji",
        height=128,
        width=128,
        steps=20,
        compiler=compiler,
        dtype="bfloat16",
        quant_type=QUANT_TYPE if quantized else None,
        quantized_layers=77 if quantized else 0,
        selection="90% by SSIM" if quantized else None,
        peak_kind="cuda",
    )
    figures = Figures(
        iterations_per_s=Statistic.of([speed]),
        e2e_s=Statistic.of([e2e_s]),
        peak_bytes=int(peak_gib * 2**30),
        warmup_run_s=None if compiled else 4.1,
        warmup_compile_s=510.17 if compiled else None,
        warmup_cache_s=111.563 if compiled else None,
        ssim=None if index == 0 else 0.9987,
        psnr_db=None if index == 0 else 48.21,
        images_equal=True if index == 0 else None,
    )
    return BenchRow(case=case, status=RowStatus.DONE, figures=figures)


def _unmeasured(row: BenchRow, status: RowStatus | None) -> BenchRow:
    return BenchRow(case=row.case, status=status or RowStatus.PENDING)


def bench_events(rows: Sequence[BenchRow]) -> Iterator[Event]:
    """A benchmark as far as its rows are."""
    planned = tuple(_unmeasured(row, RowStatus.PENDING) for row in rows)
    yield AttemptStarted(attempt=1)
    yield BenchPlanned(machine=MACHINE, versions={"torch": "2.13.0"}, rows=planned)
    yield StageChanged(stage=Stage.BENCHMARKING, detail="compile: first call with empty caches")
    for row in rows:
        if row.status is not RowStatus.PENDING:
            yield BenchRowUpdated(row=row)


def warmup(*, estimated: bool = True, finished: bool = False) -> WarmupProgressed:
    """A warm-up on a GPU after three quarters of a minute."""
    regions: tuple[Region, ...] = (
        Region(
            name="Triton kernels",
            found=12,
            graphs=12,
            compiled=9,
            from_cache=3,
            state=RegionState.DONE,
            elapsed_s=6.2,
            estimated_s=7.0,
        ),
        Region(
            name="transformer blocks",
            found=28,
            graphs=1,
            autotuned=412,
            state=RegionState.COMPILING,
            elapsed_s=38.4,
            estimated_s=66.0,
        ),
        Region(name="text encoder", found=1, graphs=1, estimated_s=9.0),
        Region(name="VAE decoder", found=1, graphs=1, estimated_s=11.0),
        Region(name="CUDA graphs"),
    )
    if not estimated:
        regions = tuple(r.replace(estimated_s=None) for r in regions)
    found = Warmup(
        cached=False,
        regions=regions,
        elapsed_s=45.0,
        estimated_s=104.0 if estimated else None,
        finished=finished,
    )
    return WarmupProgressed(label="compile", warmup=found)


def warming_up(output: Path, found: WarmupProgressed | None = None) -> Run:
    """A benchmark whose second case compiles."""
    request = BenchRequest(quantize=True, output=str(output / "fp8_e4m3.bench.json"))
    events = [*bench_events(bench_rows(1)), found or warmup()]
    return write_run(request, BENCH_ID, events, created_s=START_S + 60, worker=this_process())


def generation(output: Path) -> Run:
    """An image of which 13 steps are drawn, after a warm-up."""
    request = GenerateRequest(prompts=("owl",), output=str(output / "owl.png"))
    call = PipelineCall(
        purpose="warm-up", height=128, width=128, steps=20, elapsed_s=1.5, iterations_per_s=14.0
    )
    plan = GenerationPlan(
        machine=MACHINE,
        versions={"torch": "2.13.0"},
        model_fingerprint="sha256:0",
        dtype="float32",
        scheduler="DPMSolverMultistepScheduler",
        steps=20,
        guidance_scale=2.0,
        total_steps=40,
    )
    events: list[Event] = [
        AttemptStarted(attempt=1),
        GeneratePlanned(plan=plan),
        CallMade(call=call),
        StageChanged(stage=Stage.GENERATING, detail="image 128x128", done=13, total=20),
    ]
    return write_run(request, GENERATE_ID, events, created_s=START_S + 70, worker=this_process())


def write_run(
    request: AnyRequest,
    run_id: str,
    events: Sequence[Event],
    *,
    created_s: float = START_S,
    step_s: float = 1.0,
    worker: WorkerIdentity | None = None,
) -> Run:
    """A run with that id, its events ``step_s`` apart."""
    drafted = create_run(request)
    with JournalWriter(drafted.paths.events) as journal:
        for event in events:
            journal.append(event)
    _pin_times(drafted, created_s, step_s)
    target = drafted.paths.directory.with_name(run_id)
    drafted.paths.directory.rename(target)
    run = Run.open(target)
    write_atomically(run.paths.worker, (worker or gone_worker()).model_dump_json())
    return run


def _pin_times(run: Run, created_s: float, step_s: float) -> None:
    assert run.record is not None
    record = run.record.replace(created_s=created_s)
    write_atomically(run.paths.request, record.model_dump_json())
    entries = [
        entry.replace(t=created_s + index * step_s).model_dump_json()
        for index, entry in enumerate(read_journal(run.paths.events))
    ]
    write_atomically(run.paths.events, "".join(f"{entry}\n" for entry in entries))


def this_process() -> WorkerIdentity:
    """A living worker: the test itself stands for it."""
    return identify_self(1)


def gone_worker() -> WorkerIdentity:
    """A worker whose process is gone."""
    me = identify_self(1)
    return me.replace(start_ticks=me.start_ticks - 1)


def sleeping_process() -> tuple[subprocess.Popen[bytes], WorkerIdentity]:
    """A real detached process that works on nothing, and its identity."""
    code = "import time; time.sleep(120)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    identity = WorkerIdentity(
        pid=process.pid,
        start_ticks=start_ticks(process.pid) or 0,
        host=identify_self(1).host,
        boot_id=boot_id(),
        attempt=1,
    )
    return process, identity


def profile_request(output: Path) -> ProfileRequest:
    return ProfileRequest(method="exhaustive", output=str(output / "fp8_e4m3.json"))


def running_profile(output: Path, worker: WorkerIdentity | None = None, measured: int = 34) -> Run:
    return write_run(
        profile_request(output),
        PROFILE_ID,
        list(profile_events(measured)),
        worker=worker or this_process(),
    )


def finished_profile(output: Path, run_id: str = PROFILE_ID) -> Run:
    request = profile_request(output)
    events = [
        *profile_events(85),
        ArtifactWritten(role="profile", path=request.output),
        AttemptFinished(state="done"),
    ]
    return write_run(request, run_id, events, step_s=0.5)


def stale_profile(output: Path, log: str = "Killed") -> Run:
    events = list(profile_events(12))
    run = write_run(profile_request(output), STALE_ID, events, created_s=START_S - 7200)
    run.paths.log.write_text(log)
    return run


def failed_profile(output: Path) -> Run:
    failure = Failure(
        title="the device ran out of memory",
        cause="CUDA out of memory. Tried to allocate 2.00 GiB",
        next_step="free the device or ask for a smaller --height and --width, then resume",
    )
    events = [*profile_events(3), AttemptFinished(state="failed", failure=failure)]
    return write_run(profile_request(output), FAILED_ID, events, created_s=START_S - 90_000)


GPU_GAUGES = Gauges(
    source="gpu",
    utilization=0.97,
    memory_bytes=int(14.4 * 2**30),
    memory_total_bytes=int(79.6 * 2**30),
    power_w=673.4,
    temperature_c=61,
)
PROCESS_GAUGES = Gauges(
    source="processes",
    utilization=1.87,
    memory_bytes=int(1.2 * 2**30),
    memory_total_bytes=8 << 30,
)
PACES = tuple(round(12.0 + 2.5 * math.sin(n / 3) - (9.0 if n == 20 else 0.0), 2) for n in range(40))


def give_live(run: Run, gauges: Gauges | None, *, label: str = "none+" + QUANT_TYPE) -> None:
    """What the worker tells at this moment."""
    pace = Pace(label=label, iterations_per_s=PACES)
    write_live(run.paths.live, Live(t=NOW_S, cpu_cores=2, gauges=gauges, pace=pace))


def finished_bench(output: Path) -> Run:
    request = BenchRequest(quantize=True, output=str(output / "fp8_e4m3.bench.json"))
    events = [
        *bench_events(bench_rows(4)),
        ArtifactWritten(role="bench", path=request.output),
        AttemptFinished(state="done"),
    ]
    return write_run(request, BENCH_ID, events, created_s=START_S)


def bench(output: Path, rows: Sequence[BenchRow] | None = None, *, alive: bool = True) -> Run:
    request = BenchRequest(quantize=True, output=str(output / "fp8_e4m3.bench.json"))
    events = list(bench_events(bench_rows() if rows is None else rows))
    worker = this_process() if alive else gone_worker()
    return write_run(request, BENCH_ID, events, created_s=START_S + 60, worker=worker)
