"""``python -m pixart_tui.worker.bench.case SPEC.json``: one case in a process of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pixart_tui.domain.benchmarks.matrix import config_of
from pixart_tui.domain.benchmarks.rows import ColdCall, Figures
from pixart_tui.domain.deploying.deployment import COMPILERS, Deployment
from pixart_tui.domain.errors import PixartTuiError, WorkError, first_line
from pixart_tui.domain.events import Failure
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.worker.bench.messages import (
    CallTimed,
    CaseFailed,
    CaseSpec,
    Described,
    ExecutionFound,
    FiguresFound,
    ImageWritten,
    Message,
    PaceTold,
    PhaseEntered,
    Purpose,
)
from pixart_tui.worker.bench.warmup import begin_warmup, end_warmup
from pixart_tui.worker.log import print_to_log

if TYPE_CHECKING:
    import torch

    from pixart_tui.domain.layers.layers import Layer
    from pixart_tui.engine.bench.call import BenchCall
    from pixart_tui.engine.bench.measure import Figure, Load, Picture, Task, TimedCall
    from pixart_tui.engine.bench.pace import StepPace
    from pixart_tui.engine.compilers.progress import WarmupProgress
    from pixart_tui.engine.loading import LoadedPipeline

_PR_SET_PDEATHSIG: Final = 1
_FIRST_CALL_PHASE: Final = {
    Purpose.RUN: "warm-up with run",
    Purpose.COMPILE: "warm-up with compilation",
    Purpose.CACHE: "warm-up with cache",
    Purpose.WARM: "warm-up",
    Purpose.QUALITY: "image of the simulation",
}


def main(spec_path: Path) -> int:
    """Does what a spec asks and returns 0, or an error's exit code."""
    spec = CaseSpec.model_validate_json(spec_path.read_bytes())
    die_with(spec.parent_pid)
    with Path(spec.messages).open("ab", buffering=0) as file:

        def tell(message: Message) -> None:
            file.write(message.model_dump_json().encode() + b"\n")

        return _work(spec, tell)


def die_with(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent dies, at once if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _work(spec: CaseSpec, tell: Callable[[Message], None]) -> int:
    try:
        for message in _answers(spec, tell):
            tell(message)
    except PixartTuiError as error:
        traceback.print_exc()
        failure = Failure.of(error)
    except Exception as error:
        traceback.print_exc()
        failure = Failure.of(_explained(error))
    else:
        return 0
    tell(CaseFailed(failure=failure))
    return failure.exit_code


def _answers(spec: CaseSpec, tell: Callable[[Message], None]) -> Iterator[Message]:
    # Only now, so that the spec's environment and the parent's death are settled before.
    import torch

    from pixart_tui.engine.bench.call import resolve_call
    from pixart_tui.engine.compilers.progress import following
    from pixart_tui.engine.loading import load_asked

    device = torch.device(spec.request.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_num_threads(spec.request.threads)
    yield PhaseEntered(phase="loading")
    loaded = load_asked(spec.request, dtype=dtype, device=device)
    call = resolve_call(spec.request, loaded)
    yield _describe(spec, loaded, call, device, dtype)
    if spec.purpose is not Purpose.DESCRIBE:
        deployment = yield from _settle_budget(spec, loaded, call)
        progress = begin_warmup(spec, tell)
        _prepare(deployment, loaded, device, progress)
        with following(loaded.pipeline, progress):
            yield from _measure(spec, loaded, call, progress, pace=_pace(tell))


def _pace(tell: Callable[[Message], None]) -> StepPace:
    from pixart_tui.engine.bench.pace import StepPace

    return StepPace(lambda speed: tell(PaceTold(iterations_per_s=speed)))


def _describe(
    spec: CaseSpec,
    loaded: LoadedPipeline,
    call: BenchCall,
    device: torch.device,
    dtype: torch.dtype,
) -> Described:
    from pixart_tui.engine.bench.call import prompt_notices, prompts_of
    from pixart_tui.engine.compilers.plans import plan_for
    from pixart_tui.engine.machine import describe_machine, describe_versions

    configs = {x: config_of(spec.request, x, on_gpu=device.type == "cuda") for x in COMPILERS}
    plans = {name: plan_for(name, config, device) for name, config in configs.items()}
    return Described(
        machine=describe_machine(device),
        versions=describe_versions(),
        model_fingerprint=loaded.fingerprint,
        prompt=call.prompt,
        prompts=len(prompts_of(spec.request, loaded)),
        notices=prompt_notices(spec.request, loaded),
        guidance_scale=call.guidance_scale,
        steps=call.num_inference_steps,
        height=call.height,
        width=call.width,
        dtype=str(dtype).removeprefix("torch."),
        compiler_configs={name: plan.to_json() for name, plan in plans.items() if plan},
        layers=_layers(loaded, call) if spec.quant_types else (),
        executions={name: _execution(name, device) for name in spec.quant_types},
    )


def _layers(loaded: LoadedPipeline, call: BenchCall) -> tuple[Layer, ...]:
    from pixart_tui.engine.layers import list_layers

    return list_layers(
        loaded.pipeline,
        height=call.height,
        width=call.width,
        text_tokens=call.max_sequence_length,
        guidance=call.guidance_scale > 1,
    )


def _execution(quant_type: str, device: torch.device) -> ExecutionFound:
    from pixart_tui.engine.quant.execution import Execution, plan_execution

    plan = plan_execution(parse_quant_type(quant_type), device)
    note = plan.backend if plan.execution is Execution.REAL else plan.reason
    return ExecutionFound(execution=plan.execution.value, note=note)


def _settle_budget(
    spec: CaseSpec, loaded: LoadedPipeline, call: BenchCall
) -> Generator[Message, None, Deployment]:
    """The deployment with the memory switches that its budget allows, if it has one."""
    from pixart_tui.engine.memory import settle_budget

    deployment = spec.case.deployment
    budget_bytes = deployment.memory.budget_bytes
    if budget_bytes is None:
        return deployment
    settled = settle_budget(
        loaded.pipeline,
        deployment,
        budget_bytes,
        height=call.height,
        width=call.width,
        text_tokens=call.max_sequence_length,
        guidance=call.guidance_scale > 1,
    )
    chosen = settled.options.label or "nothing"
    yield FiguresFound(
        figures=Figures(chosen_memory=chosen, memory_estimate_bytes=settled.peak_bytes)
    )
    return deployment.replace(memory=settled.options)


def _prepare(
    deployment: Deployment, loaded: LoadedPipeline, device: torch.device, progress: WarmupProgress
) -> None:
    from pixart_tui.engine.deployment import deploy
    from pixart_tui.engine.quant.execution import plan_choice

    plan = plan_choice(deployment.choice, device)

    def on_capture(elapsed_s: float) -> None:
        progress.add("CUDA graphs", compiled=1, elapsed_s=elapsed_s)

    deploy(loaded.pipeline, deployment, plan.execution if plan else None, device, on_capture)


def _measure(
    spec: CaseSpec,
    loaded: LoadedPipeline,
    call: BenchCall,
    progress: WarmupProgress,
    *,
    pace: StepPace,
) -> Iterator[Message]:
    import torch

    from pixart_tui.engine.bench.call import prompts_of
    from pixart_tui.engine.bench.measure import FirstCall, measure

    tasks: dict[Purpose, Task] = {Purpose.COMPILE: "warm-up", Purpose.QUALITY: "quality"}
    task = tasks.get(spec.purpose, "figures" if spec.image else "speed")
    prompts = prompts_of(spec.request, loaded)
    figures = measure(
        loaded.pipeline,
        call,
        task,
        prompts=prompts,
        repeats=spec.request.repeats,
        device=torch.device(spec.request.device),
        pace=pace,
    )
    translator = _Translator(spec)
    for figure in figures:
        if isinstance(figure, FirstCall):
            yield from end_warmup(spec, progress)
        yield from translator.messages(figure)


class _Translator:
    """Turns what the engine finds into messages; keeps the calls of a cold start."""

    def __init__(self, spec: CaseSpec) -> None:
        self._spec = spec
        self._cold_calls: list[ColdCall] = []

    def messages(self, figure: Figure) -> Iterator[Message]:
        """The messages that one finding gives."""
        from pixart_tui.engine.bench.measure import (
            FirstCall,
            Load,
            NextCall,
            Phase,
            Picture,
            TimedCall,
        )

        match figure:
            case Phase():
                yield PhaseEntered(
                    type="phase", phase=self._name(figure), done=figure.done, total=figure.total
                )
            case FirstCall():
                yield from self._first_call(figure.call)
            case NextCall():
                yield self._cold_call(figure.call)
            case TimedCall():
                yield _timed(figure)
            case Load():
                yield _load(figure)
            case Picture() if self._spec.image is not None:
                yield from _image(self._spec, Path(self._spec.image), figure)

    def _name(self, phase: Any) -> str:
        from pixart_tui.engine.bench.measure import TIMED_CALLS

        timed = phase.name == TIMED_CALLS
        return str(phase.name) if timed else _FIRST_CALL_PHASE[self._spec.purpose]

    def _first_call(self, call: TimedCall) -> Iterator[Message]:
        from pixart_tui.engine.compilers.inductor import cache_use

        purpose = self._spec.purpose
        if purpose is Purpose.RUN:
            yield FiguresFound(figures=Figures(warmup_run_s=call.e2e_s))
        if purpose is Purpose.COMPILE:
            yield self._cold_call(call)
        if purpose in (Purpose.CACHE, Purpose.WARM):
            found = cache_use()
            yield FiguresFound(figures=Figures(cache_hits=found.hits, cache_misses=found.misses))
            if purpose is Purpose.CACHE or (found.hits and not found.misses):
                yield FiguresFound(figures=Figures(warmup_cache_s=call.e2e_s))

    def _cold_call(self, call: TimedCall) -> FiguresFound:
        cold = ColdCall(elapsed_s=call.e2e_s, iterations_per_s=call.iterations_per_s)
        self._cold_calls.append(cold)
        return FiguresFound(figures=Figures(cold_calls=tuple(self._cold_calls)))


def _timed(call: TimedCall) -> CallTimed:
    return CallTimed(
        iterations_per_s=call.iterations_per_s,
        transformer_s=call.transformer_s,
        e2e_s=call.e2e_s,
    )


def _load(load: Load) -> FiguresFound:
    return FiguresFound(
        figures=Figures(
            peak_bytes=load.peak_bytes,
            peak_reserved_bytes=load.reserved_bytes,
            clocks=load.clocks,
        )
    )


def _image(spec: CaseSpec, image: Path, picture: Picture) -> Iterator[Message]:
    import numpy as np
    from PIL import Image

    from pixart_tui.domain.profiles.image_metrics import image_similarity

    if picture.pixels is None:
        raise WorkError(
            "the image holds NaN or infinity", cause=f"{spec.case.label}: nothing to compare"
        )
    image.parent.mkdir(exist_ok=True)
    Image.fromarray(picture.pixels).save(image)
    yield ImageWritten(path=str(image))
    if spec.reference is None:
        yield FiguresFound(figures=Figures(ssim=1.0, images_equal=True))
        return
    found = image_similarity(picture.pixels, np.asarray(Image.open(spec.reference)))
    yield FiguresFound(
        figures=Figures(ssim=found.ssim, psnr_db=found.psnr_db, images_equal=found.is_equal)
    )


def _explained(error: Exception) -> WorkError:
    message = first_line(error)
    return WorkError(f"{type(error).__name__}: {message}", next_step="read the run's log")


if __name__ == "__main__":
    print_to_log()
    exit_code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking torch and the compile workers down in order costs seconds for nothing.
    os._exit(exit_code)
