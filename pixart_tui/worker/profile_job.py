"""A profile run: the engine's events into the journal, its images and results into files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image

from pixart_tui.domain import onediff_file, sidecar
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.events import ArtifactWritten, ProfilePlanned, StageChanged
from pixart_tui.domain.profile import LayerScore, Profile
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.sensitivity import BaselineImage, profile_model
from pixart_tui.engine.sensitivity.lanes import torch_threads
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.run import Run
from pixart_tui.worker.attempt import Check, Emit
from pixart_tui.worker.latency import latency_key, time_layers


def run_profile(run: Run, request: ProfileRequest, emit: Emit, check: Check) -> None:
    """Measures what the journal does not hold yet, then writes the profile.

    Raises:
        RequestError: The journal was measured on something else than what is there now.
        WorkError: No layer gave a finite image, or the files cannot be written.
    """
    before = run.snapshot.planned
    events = profile_model(
        request,
        measured=frozenset(run.snapshot.measured),
        floor_known=run.snapshot.floor is not None,
        batch_size=run.snapshot.batch.images if run.snapshot.batch else None,
        progress=run.snapshot.fast.copy(),
        check=check,
    )
    for index, event in enumerate(events):
        check()
        if isinstance(event, BaselineImage):
            emit(_save_image(run, event, index))
            continue
        if isinstance(event, ProfilePlanned) and before is not None:
            _refuse_another(before, event)
        emit(event)
        if isinstance(event, ProfilePlanned) and run.snapshot.latency is None:
            _time_layers(request, event, emit, check)
    _write_profile(run, request, emit)


def _time_layers(request: ProfileRequest, plan: ProfilePlanned, emit: Emit, check: Check) -> None:
    quant_type, threads = request.quant_type, request.threads
    key = latency_key(plan.machine, plan.versions, quant_type, threads)
    with torch_threads(threads):
        emit(time_layers(plan.layers, torch.device(request.device), key, emit, check))


def _save_image(run: Run, baseline: BaselineImage, index: int) -> ArtifactWritten:
    run.paths.artifacts.mkdir(exist_ok=True)
    path = run.paths.artifacts / f"baseline-{index:03d}.png"
    pixels = baseline.image.permute(1, 2, 0).mul(255).round().byte().numpy()
    Image.fromarray(pixels).save(path)
    return ArtifactWritten(
        role="baseline_image",
        path=str(path.relative_to(run.paths.directory)),
        prompt=baseline.sample.prompt,
        seed=baseline.sample.seed,
    )


def _refuse_another(before: ProfilePlanned, now: ProfilePlanned) -> None:
    """Measurements that were taken on different things must never meet in one profile."""
    differing = [
        name
        for name, old, new in (
            ("model or settings", before.conditions, now.conditions),
            ("layers", (before.layers, before.excluded), (now.layers, now.excluded)),
            ("device", before.machine.device_name, now.machine.device_name),
            ("versions", before.versions, now.versions),
        )
        if old != new
    ]
    if differing:
        raise RequestError(
            "this run was measured on something else than what is here now",
            "different: " + ", ".join(differing),
            "start a new run with: pixart-tui profile",
        )


def _write_profile(run: Run, request: ProfileRequest, emit: Emit) -> None:
    output = Path(request.output)
    emit(StageChanged(stage="writing", detail=str(output)))
    profile, plan = run.snapshot.profile, run.snapshot.planned
    assert profile is not None
    assert plan is not None
    scores = profile.scores()
    beside = Path(onediff_file.sidecar_path(output))
    write_atomically(beside, sidecar.render(_sidecar(run, plan, profile, scores)))
    write_atomically(output, onediff_file.render(_ssim_by_fqn(scores)))
    emit(ArtifactWritten(role="sidecar", path=str(beside)))
    emit(ArtifactWritten(role="profile", path=str(output)))


def _ssim_by_fqn(scores: tuple[LayerScore, ...]) -> dict[str, float]:
    found = {s.layer.fqn: s.ssim for s in scores if s.ssim is not None}
    if not found:
        raise WorkError(
            "no layer can be quantized",
            "every layer is excluded by the kernels' rules or gave an image with NaN",
            "read the reasons in the .meta.json, then try another --quant-type",
        )
    return found


def _sidecar(
    run: Run, plan: ProfilePlanned, profile: Profile, scores: tuple[LayerScore, ...]
) -> sidecar.ProfileSidecar:
    return sidecar.ProfileSidecar(
        run=run.id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        conditions=profile.conditions,
        machine=plan.machine,
        versions=plan.versions,
        elapsed_s=round(run.snapshot.worked_s, 3),
        batch_sizes=tuple(run.snapshot.batch_sizes),
        deployment_floor=profile.deployment_floor,
        measurement_noise=profile.measurement_noise,
        layers=scores,
        measurements=profile.measurements,
        floor=profile.floor,
        probing=profile.probing,
        stability=profile.stability,
        cost=run.snapshot.cost,
    )
