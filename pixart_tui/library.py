"""The package as a library: measure, choose, quantize and benchmark from Python.

    from pixart_tui import load, profile, quantize, select

The command line asks for the same things through the same requests. What it does in a detached
worker, :func:`profile` does in this process, with the same generator; :func:`bench` starts the
worker too, as every row of a benchmark needs a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import torch

from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.deploying.deployment import Compiler
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.events import AttemptStarted, Event
from pixart_tui.domain.files import layer_file, onediff_file, sidecar
from pixart_tui.domain.files.selection_files import selection_text
from pixart_tui.domain.files.sidecar import EffectsFile, ProfileSidecar
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import default_profile_filename, parse_quant_type
from pixart_tui.domain.lora import Lora, find_lora
from pixart_tui.domain.profiles.effects import Method
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import (
    DEFAULT_DRAWS,
    DEFAULT_QUANT_TYPE,
    BenchRequest,
    ProfileRequest,
)
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, Rule
from pixart_tui.domain.selecting.selection import Selection, choose
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.engine.sensitivity import BaselineImage, JointImage, profile_model
from pixart_tui.engine.typing import Pipeline
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.files import is_stream, write_atomically, write_with_companion
from pixart_tui.runs.journal import JournalEntry, JournalReader
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.results.effects_file import effects_path, write_effects
from pixart_tui.runs.results.profile_files import profile_sidecar, profile_text, read_profile_file
from pixart_tui.runs.run import Run, RunState
from pixart_tui.runs.snapshot import RunSnapshot

OnEvent: TypeAlias = Callable[[Event], None]

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Profiled:
    """A finished profile.

    Attributes:
        profile: The measurements; ``profile.scores()`` gives each layer's figures.
        record: Everything that is known of it, as its sidecar keeps it.
        more: The same of further quant types that were measured in the same pass.
    """

    profile: Profile
    record: ProfileSidecar
    more: tuple[Profiled, ...] = ()

    def save(self, path: str | Path) -> Path:
        """Writes the JSON that OneDiff reads, the sidecar and the file of effects beside it.

        Further quant types get files of their own names in the same directory.

        Raises:
            WorkError: A file cannot be written.
        """
        target = Path(path)
        effects, others = None, () if is_stream(target) else self.more
        if self.profile.effects and not is_stream(target):
            effects = write_effects(effects_path(target), self.profile.effects)
        self._write(target, effects)
        for other in others:
            name = default_profile_filename(other.profile.conditions.quant_type)
            other._write(target.with_name(name), effects)
        return target

    def _write(self, target: Path, effects: EffectsFile | None) -> None:
        record = self.record.model_copy(update={"effects": effects})
        beside = Path(onediff_file.sidecar_path(target))
        text = profile_text(record) or "{}\n"
        write_with_companion(target, text, beside, sidecar.render(record))


Source: TypeAlias = Profiled | Profile | str | Path
"""A profile: a value, or the path of its JSON."""
LoraSource: TypeAlias = Lora | str | Path | None


def load(
    model: str = "pixart-emoji",
    *,
    variant: str = "",
    lora: LoraSource = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """A diffusers pipeline, ready to be called.

    Args:
        model: ``pixart-emoji``, a directory, a Hugging Face id, or ``synthetic:...``.
        variant: Which weight files: ``fp16``.
        lora: Merged into the transformer: a file, a directory with one, or what ``find_lora`` says.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if there is one.
        dtype: bfloat16 on a GPU and float32 on a CPU by default.

    Raises:
        RequestError: There is no such model, or the LoRA does not fit it.
    """
    where = torch.device(device or default_device())
    usual = torch.float32 if where.type == "cpu" else torch.bfloat16
    merged = _lora_of(lora)
    return load_pipeline(
        model, dtype=dtype or usual, device=where, variant=variant, lora=merged
    ).pipeline


def profile(
    model: str = "pixart-emoji",
    *,
    variant: str = "",
    lora: LoraSource = None,
    quant_type: str = DEFAULT_QUANT_TYPE,
    more_quant_types: Sequence[str] = (),
    fp8_attention: bool = False,
    method: Method = "adjoint",
    draws: int = DEFAULT_DRAWS,
    all_samples: bool = False,
    max_minutes: float | None = None,
    prompts: Sequence[str] = (),
    seeds: int = 1,
    steps: int | None = None,
    timesteps: Sequence[int] = (),
    guidance_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    execution: Literal["simulated", "real"] = "simulated",
    baseline_dtype: Literal["float32", "bfloat16"] = "float32",
    low_memory: bool = False,
    device: str | None = None,
    on_event: OnEvent | None = None,
) -> Profiled:
    """Measures how much each layer's quantization changes the image, in this process.

    Args:
        model: ``pixart-emoji``, a directory, a Hugging Face id, or ``synthetic:...``.
        variant: As of :func:`load`.
        lora: As of :func:`load`.
        quant_type: nexfort's name of the quant type.
        more_quant_types: Further ones, which the adjoint method measures in the same pass.
        fp8_attention: Whether that method measures each block's self-attention in fp8 too.
        method: ``adjoint`` or ``exhaustive``.
        draws: Random functionals of each image that the adjoint method carries back.
        all_samples: Whether that method measures every sample even if the cut is settled before.
        max_minutes: After how long it begins no further sample.
        prompts: The prompts; empty for those that ship with the package.
        seeds: Images of each prompt.
        steps: Denoising steps; None for the model's default, as for guidance and size.
        timesteps: Timesteps in place of a number of steps, descending.
        guidance_scale: Classifier-free guidance.
        height: Pixels.
        width: Pixels.
        execution: The reference numerics, or the kernel that the device runs.
        baseline_dtype: Of everything around the quantized layer.
        low_memory: Whether the adjoint method takes as little memory as it can, and longer.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if there is one.
        on_event: Called with each event; it may raise to give up.

    Raises:
        RequestError: Something that cannot be done as asked.
        WorkError: The work failed, or no layer gave a figure.
    """
    request = ProfileRequest(
        model=model,
        variant=variant,
        lora=_lora_of(lora),
        quant_type=parse_quant_type(quant_type).name,
        more_quant_types=tuple(parse_quant_type(name).name for name in more_quant_types),
        fp8_attention=fp8_attention,
        method=method,
        draws=draws,
        all_samples=all_samples,
        max_minutes=max_minutes,
        prompts=tuple(prompts),
        seeds=tuple(range(seeds)),
        num_inference_steps=steps,
        timesteps=tuple(timesteps),
        guidance_scale=guidance_scale,
        height=height,
        width=width,
        execution=execution,
        baseline_dtype=baseline_dtype,
        low_memory=low_memory,
        device=device or default_device(),
        threads=default_threads(),
        output="",
    )
    snapshot = RunSnapshot()
    told = on_event or (lambda _event: None)

    def take(event: Event) -> None:
        snapshot.apply(JournalEntry(t=time.time(), event=event))
        told(event)

    take(AttemptStarted(attempt=1))
    for event in profile_model(request):
        if not isinstance(event, BaselineImage | JointImage):
            take(event)
    date = datetime.now(UTC)
    first, *others = (
        Profiled(x, profile_sidecar(snapshot, "library", date, x.conditions.quant_type))
        for x in snapshot.profiles
    )
    if not any(s.ssim is not None for x in (first, *others) for s in x.record.layers):
        raise WorkError("no layer can be quantized", next_step="read the reasons in the scores")
    return replace(first, more=tuple(others))


def select(
    profiles: Source | Sequence[Source],
    *,
    top_percentage: float | None = None,
    flops_share: float | None = None,
    time_share: float | None = None,
    saved_share: float | None = None,
    max_loss: float | None = None,
    fused: bool = False,
) -> Selection:
    """Chooses the layers to quantize by one rule; ``top_percentage=90`` if none is given.

    Args:
        profiles: One, or several of other quant types: a value, or the path of its JSON.
        top_percentage: OneDiff's rule, by count.
        flops_share: The least loss for that share of the linear FLOPs.
        time_share: The least loss for that share of the measured linear time.
        saved_share: The least loss for that share of the time that can be saved.
        max_loss: The most time, or FLOPs, within that 1 - SSIM.
        fused: Whether layers that read the same rows are decided together.

    Raises:
        RequestError: Several rules, a parameter out of range, or a share that is not reached.
    """
    rules: dict[Rule, float | None] = {
        "top-percentage": top_percentage,
        "flops-share": flops_share,
        "time-share": time_share,
        "saved-share": saved_share,
        "max-loss": max_loss,
    }
    given = [(rule, value) for rule, value in rules.items() if value is not None]
    if len(given) > 1:
        raise RequestError(
            "several rules are given", cause=", ".join(r for r, _ in given), next_step="give one"
        )
    rule, parameter = given[0] if given else (DEFAULT_RULE.rule, DEFAULT_RULE.usual)
    every: Sequence[Source]
    every = [profiles] if isinstance(profiles, Profiled | Profile | str | Path) else profiles
    return choose(candidates_of([_profile_of(x) for x in every]), rule, parameter, fused=fused)


def quantize(
    pipeline: Pipeline,
    selection: Selection,
    *,
    execution: Literal["real", "simulated"] = "real",
) -> Pipeline:
    """Quantizes a pipeline's transformer as a selection says, in place, and returns the pipeline.

    Args:
        pipeline: A PixArt pipeline that is not quantized.
        selection: What :func:`select` gives.
        execution: The device's kernels, or the reference numerics, which are slow.

    Raises:
        RequestError: The device has no kernel for a quant type, a layer that the pipeline does
            not have, or a selection that keeps steps.
    """
    if selection.kept_steps:
        raise RequestError(
            "a pipeline that is quantized in place cannot keep steps",
            cause=f"the selection keeps {selection.kept_steps.words}",
            next_step="use pixart-tui bench or generate, which read the selection's file",
        )
    if selection.attention:
        raise RequestError(
            "a pipeline that is quantized in place keeps attention in 16 bits",
            cause=f"the selection has that of {', '.join(selection.attention[:3])} in fp8",
            next_step="select from the profiles of layers alone",
        )
    quant_types = {fqn: parse_quant_type(x) for fqn, x in selection.assignments.items()}
    device = next(pipeline.transformer.parameters()).device
    for quant_type in dict.fromkeys(quant_types.values()):
        plan = plan_execution(quant_type, device)
        if execution == "real" and plan.execution is not Execution.REAL:
            raise RequestError(
                f"{quant_type.name} does not run with its real kernel on {device}",
                cause=plan.reason,
                next_step='pass execution="simulated" for its images, without its speed',
            )
    quantize_layers(pipeline.transformer, quant_types, execution=Execution(execution))
    return pipeline


def bench(
    model: str = "pixart-emoji",
    *,
    variant: str = "",
    lora: LoraSource = None,
    compilers: Sequence[Compiler] = ("compile",),
    quant_type: str | None = None,
    layers: str | Path | Selection | None = None,
    top_percentage: float = 90.0,
    prompts: Sequence[str] = (),
    steps: int | None = None,
    height: int | None = None,
    width: int | None = None,
    repeats: int = 5,
    cold: bool = True,
    device: str | None = None,
    on_event: OnEvent | None = None,
) -> BenchResult:
    """Measures compilers and quantization beside the eager pipeline; rows run in processes.

    Args:
        model: ``pixart-emoji``, a directory, a Hugging Face id, or ``synthetic:...``.
        variant: As of :func:`load`.
        lora: As of :func:`load`.
        compilers: One row each; the eager pipeline is always measured.
        quant_type: Measure each row quantized too; None for not, or for what a selection says.
        layers: Which layers: a selection, whatever its quant types and kept steps, or a JSON of
            layers; None for every layer that the kernels can run.
        top_percentage: The share of the layers of OneDiff's JSON, by count.
        prompts: The prompts; empty for those that ship with the package.
        steps: Denoising steps; None for the model's default, as for the next two.
        height: Pixels.
        width: Pixels.
        repeats: Timed calls.
        cold: Whether a start with empty compiler caches is measured.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if there is one.
        on_event: Called with each event.

    Raises:
        RequestError: Something that cannot be done as asked.
        WorkError: The benchmark failed.
    """
    with TemporaryDirectory() as folder:
        request = BenchRequest(
            model=model,
            variant=variant,
            lora=_lora_of(lora),
            compilers=tuple(dict.fromkeys(("none", *compilers))),
            **_quantization(layers, quant_type, top_percentage, Path(folder)),
            prompts=tuple(prompts),
            num_inference_steps=steps,
            height=height,
            width=width,
            repeats=repeats,
            cold=cold,
            device=device or default_device(),
            threads=default_threads(),
            command="pixart_tui.bench",
        )
        run = create_run(request)
        start_worker(run)
        return _finished(run, on_event or (lambda _event: None))


def _lora_of(lora: LoraSource) -> Lora | None:
    return find_lora(Path(lora)) if isinstance(lora, str | Path) else lora


def _profile_of(found: Source) -> Profile:
    if isinstance(found, Profiled):
        return found.profile
    return found if isinstance(found, Profile) else read_profile_file(Path(found))


def _quantization(
    layers: str | Path | Selection | None,
    quant_type: str | None,
    top_percentage: float,
    folder: Path,
) -> dict[str, Any]:
    """The fields of a request that say what is quantized; a selection is written to a folder."""
    fields: dict[str, Any] = {
        "quantize": quant_type is not None,
        "quant_type": parse_quant_type(quant_type or DEFAULT_QUANT_TYPE).name,
    }
    if layers is None:
        return fields
    choice: Choice | None
    if isinstance(layers, Selection):
        path, choice = folder / "selection.json", layers.choice
        # The order is all that is read of the figures where all layers are taken.
        write_atomically(path, selection_text(layers, dict.fromkeys(layers.chosen, 1.0)))
    else:
        path = Path(layers).absolute()
        choice = layer_file.read(path).mixed
    fields |= {"quant_submodules_config_path": str(path), "top_percentage": top_percentage}
    if choice is None:
        return fields
    if quant_type not in (None, choice.quant_type):
        raise RequestError(
            f"the layers are not chosen for {quant_type}",
            cause=f"they are chosen for {', '.join(choice.quant_types)}",
            next_step="leave quant_type out: the selection says it",
        )
    own = choice.quant_type or DEFAULT_QUANT_TYPE
    return fields | {"quantize": True, "quant_type": own, "top_percentage": 100.0}


def _finished(run: Run, told: OnEvent) -> BenchResult:
    """Follows a run to its end; giving up cancels it."""
    try:
        _follow(run, told)
    except BaseException:
        if not run.state().is_finished:
            cancel(run)
        raise
    result = run.snapshot.bench_result
    if run.state() is RunState.DONE and result is not None:
        return result
    failure = run.trouble()
    if failure is None:
        raise WorkError(
            f"run {run.id} is {run.state()}", next_step=f"see: pixart-tui logs {run.id}"
        )
    raise failure.as_error()


def _follow(run: Run, told: OnEvent) -> None:
    reader = JournalReader(run.paths.events)
    finished = False
    while not finished:
        time.sleep(_POLL_S)
        run.poll()
        finished = run.state().is_finished
        while entries := reader.poll():
            for entry in entries:
                told(entry.event)
