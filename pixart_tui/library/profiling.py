"""Loading a model and profiling its layers in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import torch

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import AttemptStarted, Event
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import EffectsFile, ProfileSidecar
from pixart_tui.domain.layers.quant_types import (
    DtypeName,
    ExecutionName,
    default_profile_filename,
    parse_quant_type,
)
from pixart_tui.domain.lora import Lora, find_lora
from pixart_tui.domain.profiles.effects import Method
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import (
    DEFAULT_DRAWS,
    DEFAULT_QUANT_TYPE,
    ProfileRequest,
)
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sensitivity import BaselineImage, JointImage, profile_model
from pixart_tui.engine.typing import Pipeline
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.runs.files import is_stream, write_with_companion
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.results.effects_file import effects_path, write_effects
from pixart_tui.runs.results.profile_files import profile_sidecar, profile_text, read_profile_file
from pixart_tui.runs.snapshot import RunSnapshot

OnEvent: TypeAlias = Callable[[Event], None]


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
        record = self.record.replace(effects=effects)
        beside = Path(onediff_file.sidecar_path(target))
        text = profile_text(record) or "{}\n"
        write_with_companion(target, text, beside, sidecar.render(record))


LoraSource: TypeAlias = Lora | str | Path | None
Source: TypeAlias = Profiled | Profile | str | Path
"""A profile: a value, or the path of its JSON."""


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
    merged = lora_of(lora)
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
    execution: ExecutionName = "simulated",
    baseline_dtype: DtypeName = "float32",
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
        lora=lora_of(lora),
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
        for x in snapshot.profiling.profiles
    )
    if not any(s.ssim is not None for x in (first, *others) for s in x.record.layers):
        raise WorkError("no layer can be quantized", next_step="read the reasons in the scores")
    return replace(first, more=tuple(others))


def lora_of(lora: LoraSource) -> Lora | None:
    """The LoRA that was asked for, its file read and hashed."""
    return find_lora(Path(lora)) if isinstance(lora, str | Path) else lora


def sources(given: Source | Sequence[Source]) -> Sequence[Source]:
    """One source, or several, as a sequence."""
    return [given] if isinstance(given, Profiled | Profile | str | Path) else given


def profile_of(found: Source) -> Profile:
    """The profile that a source is, or that its file holds."""
    if isinstance(found, Profiled):
        return found.profile
    return found if isinstance(found, Profile) else read_profile_file(Path(found))
