"""Images with one setting, from request to pixels; what is found is yielded as it is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch

from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.deploying.deployment import ONEDIFF_BACKENDS, Deployment
from pixart_tui.domain.events import Event, GeneratePlanned, StageChanged, WarmupProgressed
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.generation import GenerationPlan, PipelineCall, Purpose
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.engine.bench.memory import peak_bytes
from pixart_tui.engine.compilers.onediff import oneflow_used_bytes
from pixart_tui.engine.compilers.plans import plan_for
from pixart_tui.engine.compilers.progress import WarmupProgress, following
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.generation.call import (
    GenerateCall,
    Images,
    OnStep,
    make_call,
    resolve_call,
)
from pixart_tui.engine.generation.fitting import (
    BatchMemory,
    estimate_batch,
    out_of_memory_explained,
    refuse_too_large,
)
from pixart_tui.engine.generation.notices import notices
from pixart_tui.engine.generation.quantizing import Quantization, plan_quantization
from pixart_tui.engine.generation.schedulers import fewest_steps, find_scheduler, set_scheduler
from pixart_tui.engine.generation.sizes import bins_of, drawn_size
from pixart_tui.engine.loading import LoadedPipeline, load_asked
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.quant.execution import plan_choice

THROUGHPUT_STEPS: Final = range(1, 100)
"""Steps of the calls that ``--throughput`` times: those of OneDiff's script."""

_SIDES: Final = (1.0, 0.5, 0.75, 0.25)
"""Of the model's own side: 1024, 512, 768 and 256 pixels for a model of 1024, as in the script."""

_TELL_EVERY_S: Final = 0.25

Tell: TypeAlias = Callable[[Event], None]
Check: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images of the timed call.

    Attributes:
        call: The call, with the most memory that was used by then.
        images: (batch, height, width, 3).
    """

    call: PipelineCall
    images: Images


Finding: TypeAlias = Event | PipelineCall | Drawn


def generate(request: GenerateRequest, tell: Tell, check: Check) -> Iterator[Finding]:
    """Makes what a request asks for.

    Args:
        request: What is asked for.
        tell: Takes what is to be shown while a call lasts, from two threads but never at once.
        check: Called at each step; may raise to give up.

    Yields:
        The plan, every call that has ended, and the images.

    Raises:
        RequestError: The model, its scheduler, the size, the layers' file or the compiler cannot
            be used as asked.
        WorkError: Memory does not hold the batch, the images are not finite, or a back-end failed.
    """
    device = torch.device(request.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_num_threads(request.threads)
    scheduler = find_scheduler(request.scheduler)
    yield StageChanged(stage=Stage.LOADING, detail=request.model_words)
    loaded = load_asked(request, dtype=dtype, device=device)
    set_scheduler(loaded.pipeline, scheduler)
    bins, first = bins_of(loaded.pipeline, loaded.family), fewest_steps(loaded)
    call = resolve_call(request, loaded, bins=bins is not None, first=first)
    size = drawn_size(loaded.pipeline, call, bins)
    quantization = plan_quantization(request, loaded, call, size, device)
    memory = estimate_batch(loaded.pipeline, call, size, device)
    refuse_too_large(call, memory)
    yield from notices(loaded, call, size, quantization)
    calls = list(_calls(request, call, loaded, first))
    yield GeneratePlanned(
        plan=_plan(request, loaded, call, quantization, calls=calls, device=device, dtype=dtype)
    )
    made = _Calls(loaded, device, memory, tell, check)
    yield from made.make(quantization.deployment, calls)


def _calls(
    request: GenerateRequest, call: GenerateCall, loaded: LoadedPipeline, first: int
) -> Iterator[tuple[Purpose, GenerateCall]]:
    """Every call, in the script's order."""
    for _ in range(request.warmups):
        yield "warm-up", call
    yield "image", call
    if request.multiple_resolutions:
        side = max(loaded.defaults.height, loaded.defaults.width)
        sides = [int(side * part) for part in _SIDES]
        for height in sides:
            for width in sides:
                yield "resolution", call.sized(height, width)
    if request.throughput:
        for steps in THROUGHPUT_STEPS[first - 1 :]:
            yield "throughput", call.stepping(steps)


def _plan(
    request: GenerateRequest,
    loaded: LoadedPipeline,
    call: GenerateCall,
    quantization: Quantization,
    *,
    calls: Sequence[tuple[Purpose, GenerateCall]],
    device: torch.device,
    dtype: torch.dtype,
) -> GenerationPlan:
    deployment = quantization.deployment
    plan = plan_for(deployment.compiler, deployment.compiler_config, device)
    return GenerationPlan(
        machine=describe_machine(device),
        versions=describe_versions(),
        model_fingerprint=loaded.fingerprint,
        lora=request.lora,
        dtype=str(dtype).removeprefix("torch."),
        scheduler=type(loaded.pipeline.scheduler).__name__,
        steps=call.num_inference_steps,
        guidance_scale=call.guidance_scale,
        compiler_config=plan.to_json() if plan else "",
        quantized_layers=quantization.count,
        execution=quantization.execution_name,
        total_steps=sum(each.num_inference_steps for _, each in calls),
    )


@dataclass(frozen=True, slots=True)
class _Calls:
    """Makes a pipeline's calls one after the other."""

    loaded: LoadedPipeline
    device: torch.device
    memory: BatchMemory
    tell: Tell
    check: Check

    def make(
        self, deployment: Deployment, calls: Sequence[tuple[Purpose, GenerateCall]]
    ) -> Iterator[Finding]:
        """Deploys the pipeline, then makes the calls; the first one compiles."""
        progress = WarmupProgress(self._tell_warmup, cached=False, estimates={})
        self._deploy(deployment, progress)
        ours = deployment.compiler not in ONEDIFF_BACKENDS
        for number, (purpose, call) in enumerate(calls):
            if number == 0 and ours:
                with following(self.loaded.pipeline, progress):
                    found = self._make(purpose, call)
                progress.finish()
            else:
                found = self._make(purpose, call)
            yield self._with_peak(found, deployment) if purpose == "image" else found.call

    def _deploy(self, deployment: Deployment, progress: WarmupProgress) -> None:
        plan = plan_choice(deployment.choice, self.device)
        self.tell(StageChanged(stage=Stage.DEPLOYING, detail=deployment.label))

        def on_capture(elapsed_s: float) -> None:
            progress.add("CUDA graphs", compiled=1, elapsed_s=elapsed_s)

        execution = plan.execution if plan else None
        deploy(self.loaded.pipeline, deployment, execution, self.device, on_capture)

    def _make(self, purpose: Purpose, call: GenerateCall) -> Drawn:
        with out_of_memory_explained(call, self.memory):
            return Drawn(
                *make_call(
                    self.loaded.pipeline, call, purpose, self.device, self._on_step(purpose, call)
                )
            )

    def _on_step(self, purpose: Purpose, call: GenerateCall) -> OnStep:
        told_s = time.monotonic()
        detail = f"{purpose} {call.width}x{call.height}"
        total = call.num_inference_steps
        self.tell(StageChanged(stage=Stage.GENERATING, detail=detail, total=total))

        def on_step(done: int) -> None:
            nonlocal told_s
            self.check()
            if time.monotonic() - told_s >= _TELL_EVERY_S:
                told_s = time.monotonic()
                self.tell(
                    StageChanged(stage=Stage.GENERATING, detail=detail, done=done, total=total)
                )

        return on_step

    def _with_peak(self, drawn: Drawn, deployment: Deployment) -> Drawn:
        """The most memory of the process so far, as the script tells it."""
        used = oneflow_used_bytes() if deployment.compiler == "oneflow" else peak_bytes(self.device)
        return Drawn(drawn.call.replace(peak_bytes=used), drawn.images)

    def _tell_warmup(self, warmup: Warmup) -> None:
        self.tell(WarmupProgressed(label="generate", warmup=warmup))
