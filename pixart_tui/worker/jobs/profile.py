"""A profile run: the engine's events into the journal, its images and results into files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    LayerMeasured,
    ProfileChecked,
    ProfilePlanned,
    StageChanged,
)
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.profile_check import check_names, check_profile, gpu_of
from pixart_tui.domain.requests import ProfileRequest, output_of
from pixart_tui.engine.pixels import LayerImage, to_pixels
from pixart_tui.engine.sensitivity import BaselineImage, JointImage, profile_model
from pixart_tui.engine.sensitivity.parallel import torch_threads
from pixart_tui.runs.files import is_stream, write_atomically
from pixart_tui.runs.results.effects_file import effects_path, write_effects
from pixart_tui.runs.results.profile_files import profile_sidecar, profile_text, read_claims
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Check, Emit
from pixart_tui.worker.jobs.artifacts import ProfilePictures
from pixart_tui.worker.jobs.latency import latency_key, time_attention, time_layers
from pixart_tui.worker.jobs.resume_check import refuse_another


def run_profile(run: Run, request: ProfileRequest, emit: Emit, check: Check) -> None:
    """Measures what the journal does not hold yet, then writes the profile.

    Raises:
        RequestError: The journal was measured on something else than what is there now, or the
            file to check is for another model.
        WorkError: No layer gave a finite image, or the files cannot be written.
    """
    before = run.snapshot.profiling.planned
    pictures = ProfilePictures(run, emit)
    made: dict[str, LayerImage] = {}
    events = profile_model(
        request,
        measured=frozenset(run.snapshot.profiling.measured),
        samples=run.snapshot.profiling.samples_in_order,
        floor_known=run.snapshot.profiling.floor is not None,
        batch_size=run.snapshot.profiling.batch.images if run.snapshot.profiling.batch else None,
        check=check,
        keep=lambda image: made.update({image.layer: image}),
    )
    look, known = run.snapshot.profiling.look, len(run.snapshot.profiling.samples_in_order)
    ended = look is not None and look.outcome and known >= look.samples
    for event in events if not ended else ():
        check()
        if isinstance(event, BaselineImage | JointImage):
            if event.sample.seed == request.seeds[0]:
                _keep(pictures, event)
            continue
        if isinstance(event, LayerMeasured) and event.layer in made:
            pictures.keep_layer(made.pop(event.layer))
        if isinstance(event, ProfilePlanned):
            _check_plan(request, before, event)
        emit(event)
        if isinstance(event, ProfilePlanned):
            _time_missing(run, request, event, emit, check)
    _write_profiles(run, request, emit)
    if request.checks is not None:
        _check(run, request.checks, emit)


def _check_plan(
    request: ProfileRequest, before: ProfilePlanned | None, now: ProfilePlanned
) -> None:
    refuse_another(before, now, "pixart-tui profile")
    if request.checks is not None:
        check_names(read_claims(Path(request.checks)), now.layers)


def _check(run: Run, path: str, emit: Emit) -> None:
    profile, plan = run.snapshot.profiling.profile, run.snapshot.profiling.planned
    assert profile is not None
    assert plan is not None
    found = check_profile(read_claims(Path(path)), profile.scores(), gpu_of(plan.machine))
    emit(ProfileChecked(source=path, found=found))


def _keep(pictures: ProfilePictures, made: BaselineImage | JointImage) -> None:
    """Keeps a picture; one with every layer quantized only if it is one."""
    sample = made.sample
    if isinstance(made, BaselineImage):
        pictures.keep_baseline(sample.prompt, sample.seed, to_pixels(made.image))
    elif made.image.isfinite().all():
        pictures.keep_joint(sample, made.quant_type, to_pixels(made.image))


def _time_missing(
    run: Run, request: ProfileRequest, plan: ProfilePlanned, emit: Emit, check: Check
) -> None:
    """Times the layers under each quant type that no attempt has timed yet."""
    for quant_type in run.snapshot.profiling.quant_types:
        if quant_type in run.snapshot.profiling.latencies:
            continue
        if quant_type == FP8_ATTENTION:
            emit(time_attention(plan, torch.device(request.device), emit))
        else:
            _time_layers(request, quant_type, plan, emit, check)


def _time_layers(
    request: ProfileRequest, quant_type: str, plan: ProfilePlanned, emit: Emit, check: Check
) -> None:
    threads = request.threads
    key = latency_key(plan.machine, plan.versions, quant_type, threads)
    with torch_threads(threads):
        emit(time_layers(plan.layers, torch.device(request.device), key, emit, check))


def _write_profiles(run: Run, request: ProfileRequest, emit: Emit) -> None:
    """The JSON and the sidecar of each quant type, and one file with all effects."""
    snapshot, output = run.snapshot, Path(request.output)
    emit(StageChanged(stage=Stage.WRITING, detail=str(output)))
    effects = None
    is_file = not is_stream(output)
    if snapshot.profiling.samples and is_file:
        path = effects_path(output)
        effects = write_effects(path, snapshot.profiling.samples_in_order)
        emit(ArtifactWritten(role=Role.EFFECTS, path=str(path)))
    date = datetime.now(UTC)
    written = 0
    for quant_type in snapshot.profiling.quant_types:
        path = output_of(request, quant_type)
        record = profile_sidecar(snapshot, run.id, date, quant_type, effects)
        beside = Path(onediff_file.sidecar_path(path))
        if is_file:
            write_atomically(beside, sidecar.render(record))
            emit(ArtifactWritten(role=Role.SIDECAR, path=str(beside), label=quant_type))
        if text := profile_text(record):
            write_atomically(path, text)
            emit(ArtifactWritten(role=Role.PROFILE, path=str(path), label=quant_type))
            written += 1
    if not written:
        raise WorkError(
            "no layer can be quantized",
            cause="every layer is excluded by the kernels' rules or gave an image with NaN",
            next_step="read the reasons in the .meta.json, then try another --quant-type",
        )
