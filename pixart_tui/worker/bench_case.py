"""``python -m pixart_tui.worker.bench_case SPEC.json``: one case in a process of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pixart_tui.domain.benchmark import Statistic
from pixart_tui.domain.deployment import COMPILERS
from pixart_tui.domain.errors import PixartTuiError, WorkError
from pixart_tui.domain.events import Failure
from pixart_tui.worker.bench_messages import (
    CaseFailed,
    CaseSpec,
    Described,
    FiguresFound,
    ImageWritten,
    Message,
    PhaseEntered,
    Purpose,
    QuantizationFound,
)

if TYPE_CHECKING:
    import torch

    from pixart_tui.engine.bench.call import BenchCall
    from pixart_tui.engine.bench.measure import Figure, Picture, Task, TimedCall
    from pixart_tui.engine.bench.quantization import Quantization
    from pixart_tui.engine.loading import LoadedPipeline

_PR_SET_PDEATHSIG: Final = 1
_FIRST_CALL_PHASE: Final = {
    Purpose.RUN: "warm-up with run",
    Purpose.COMPILE: "warm-up with compilation",
    Purpose.CACHE: "warm-up with cache",
    Purpose.QUALITY: "image of the simulation",
}
_WARMUP_FIELD: Final = {
    Purpose.RUN: "warmup_run_s",
    Purpose.COMPILE: "warmup_compile_s",
    Purpose.CACHE: "warmup_cache_s",
}


def main(spec_path: Path) -> int:
    """Does what a spec asks and returns 0, or an error's exit code."""
    spec = CaseSpec.model_validate_json(spec_path.read_bytes())
    die_with(spec.parent_pid)
    with Path(spec.messages).open("ab", buffering=0) as file:

        def tell(message: Message) -> None:
            file.write(message.model_dump_json(exclude_unset=True).encode() + b"\n")

        return _work(spec, tell)


def die_with(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent dies, at once if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _work(spec: CaseSpec, tell: Callable[[Message], None]) -> int:
    try:
        for message in _answers(spec):
            tell(message)
    except PixartTuiError as error:
        traceback.print_exc()
        failure = _failure(error)
    except Exception as error:
        traceback.print_exc()
        failure = _failure(_explained(error))
    else:
        return 0
    tell(CaseFailed(type="failed", failure=failure))
    return failure.exit_code


def _answers(spec: CaseSpec) -> Iterator[Message]:
    # Only now, so that the spec's environment and the parent's death are settled before.
    import torch

    from pixart_tui.engine.bench.call import resolve_call
    from pixart_tui.engine.loading import load_pipeline

    device = torch.device(spec.request.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_num_threads(spec.request.threads)
    yield PhaseEntered(type="phase", phase="loading")
    loaded = load_pipeline(spec.request.model, dtype=dtype, device=device)
    call = resolve_call(spec.request, loaded)
    quantization = _quantization(spec, loaded, call, device)
    yield _describe(loaded, call, quantization, device, dtype)
    if spec.purpose is not Purpose.DESCRIBE:
        _prepare(spec, loaded, quantization, device)
        yield from _measure(spec, loaded, call, device)


def _quantization(
    spec: CaseSpec, loaded: LoadedPipeline, call: BenchCall, device: torch.device
) -> Quantization | None:
    from pixart_tui.engine.bench.quantization import plan_quantization
    from pixart_tui.engine.layers import list_layers

    if not spec.request.quantize:
        return None
    layers = list_layers(
        loaded.pipeline,
        height=call.height,
        width=call.width,
        text_tokens=call.max_sequence_length,
        guidance=call.guidance_scale > 1,
    )
    return plan_quantization(spec.request.quant_type, spec.wanted_layers, layers, device)


def _describe(
    loaded: LoadedPipeline,
    call: BenchCall,
    quantization: Quantization | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Described:
    from pixart_tui.engine.compilers.inductor import compile_plan
    from pixart_tui.engine.machine import describe_machine, describe_versions

    plans = {name: compile_plan(name, device) for name in COMPILERS}
    return Described(
        type="described",
        machine=describe_machine(device),
        versions=describe_versions(),
        model_fingerprint=loaded.fingerprint,
        prompt=call.prompt,
        guidance_scale=call.guidance_scale,
        steps=call.num_inference_steps,
        height=call.height,
        width=call.width,
        dtype=str(dtype).removeprefix("torch."),
        compiler_configs={name: plan.to_json() for name, plan in plans.items() if plan},
        quantization=None if quantization is None else _found(quantization),
    )


def _found(quantization: Quantization) -> QuantizationFound:
    return QuantizationFound(
        layers=quantization.layers,
        execution=quantization.plan.execution.value,
        note=quantization.note,
    )


def _prepare(
    spec: CaseSpec,
    loaded: LoadedPipeline,
    quantization: Quantization | None,
    device: torch.device,
) -> None:
    from pixart_tui.engine.deployment import deploy

    execution = quantization.plan.execution if quantization is not None else None
    deploy(loaded, spec.case.deployment, execution, device)


def _measure(
    spec: CaseSpec, loaded: LoadedPipeline, call: BenchCall, device: torch.device
) -> Iterator[Message]:
    from pixart_tui.engine.bench.measure import measure

    tasks: dict[Purpose, Task] = {Purpose.COMPILE: "warm-up", Purpose.QUALITY: "quality"}
    task = tasks.get(spec.purpose, "figures")
    repeats = spec.request.repeats
    translator = _Translator(spec)
    for figure in measure(loaded.pipeline, call, task, repeats=repeats, device=device):
        yield from translator.messages(figure)


class _Translator:
    """Turns what the engine finds into messages; keeps the timed calls so far."""

    def __init__(self, spec: CaseSpec) -> None:
        self._spec = spec
        self._calls: list[TimedCall] = []

    def messages(self, figure: Figure) -> Iterator[Message]:
        """The messages that one finding gives."""
        from pixart_tui.engine.bench.measure import FirstCall, Peak, Phase, Picture

        match figure:
            case Phase():
                yield PhaseEntered(
                    type="phase", phase=self._name(figure), done=figure.done, total=figure.total
                )
            case FirstCall():
                yield from self._first_call(figure.elapsed_s)
            case Peak():
                yield _figures(peak_bytes=figure.size_bytes)
            case Picture():
                yield from _image(self._spec, figure)
            case _:
                self._calls.append(figure)
                yield self._statistics()

    def _name(self, phase: Any) -> str:
        from pixart_tui.engine.bench.measure import FIRST_CALL

        first = phase.name == FIRST_CALL
        return _FIRST_CALL_PHASE[self._spec.purpose] if first else str(phase.name)

    def _first_call(self, elapsed_s: float) -> Iterator[Message]:
        from pixart_tui.engine.compilers.inductor import cache_use

        yield _figures(**{_WARMUP_FIELD[self._spec.purpose]: elapsed_s})
        if self._spec.purpose is Purpose.CACHE:
            found = cache_use()
            yield _figures(cache_hits=found.hits, cache_misses=found.misses)

    def _statistics(self) -> FiguresFound:
        speeds = [c.iterations_per_s for c in self._calls if c.iterations_per_s is not None]
        e2e = Statistic.of([c.e2e_s for c in self._calls])
        return _figures(e2e_s=e2e, **({"iterations_per_s": Statistic.of(speeds)} if speeds else {}))


def _image(spec: CaseSpec, picture: Picture) -> Iterator[Message]:
    import numpy as np
    from PIL import Image

    from pixart_tui.engine.bench.measure import likeness

    if picture.pixels is None:
        raise WorkError("the image holds NaN or infinity", f"{spec.case.label}: nothing to compare")
    image = Path(spec.image)
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.pixels).save(image)
    yield ImageWritten(type="image", path=spec.image)
    if spec.reference is None:
        yield _figures(ssim=1.0, images_equal=True)
        return
    found = likeness(picture.pixels, np.asarray(Image.open(spec.reference)))
    yield _figures(ssim=found.ssim, psnr_db=found.psnr_db, images_equal=found.equal)


def _figures(**known: Any) -> FiguresFound:
    return FiguresFound(type="figures", **known)


def _failure(error: PixartTuiError) -> Failure:
    return Failure(
        title=error.title,
        cause=error.cause,
        next_step=error.next_step,
        exit_code=error.exit_code,
    )


def _explained(error: Exception) -> WorkError:
    message = (str(error).splitlines() or [""])[0][:200]
    return WorkError(f"{type(error).__name__}: {message}", "", "read the run's log")


if __name__ == "__main__":
    exit_code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking torch and the compile workers down in order costs seconds and serves nobody.
    os._exit(exit_code)
