"""A profile's files: what they hold, and reading them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from pixart_tui.domain.files import attention_file, onediff_file, sidecar
from pixart_tui.domain.files.sidecar import EffectsFile, ProfileSidecar, SelectionSidecar
from pixart_tui.domain.files.text_files import read_text
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.profile_check import Claim, claims_of_file, claims_of_scores
from pixart_tui.domain.profiles.score import noise_of
from pixart_tui.domain.values import parse_json
from pixart_tui.reporting.sample_notes import sample_records
from pixart_tui.runs.snapshot import RunSnapshot


def read_profile_file(path: Path) -> Profile:
    """The profile of an onediffx JSON, or of attention, with its sidecar beside it.

    Raises:
        RequestError: One of the two cannot be read.
    """
    text = read_text(path, "profile with: pixart-tui profile --output FILE")
    if not attention_file.is_attention(text):
        onediff_file.parse(text, str(path))
    return read_profile_sidecar(path).profile


def read_profile_sidecar(path: Path) -> ProfileSidecar:
    """The sidecar of a profile's JSON.

    Raises:
        RequestError: It cannot be read.
    """
    beside = Path(onediff_file.sidecar_path(path))
    text = read_text(beside, "keep the .meta.json beside the .json, or profile again")
    return sidecar.parse(text, str(beside), ProfileSidecar)


def profile_text(record: ProfileSidecar) -> str | None:
    """The JSON of a profile: OneDiff's of layers, our own of attention; None without a figure."""
    found = {s.layer.fqn: s.ssim for s in record.layers if s.ssim is not None}
    if not found:
        return None
    if record.conditions.quant_type == FP8_ATTENTION:
        return attention_file.render(found)
    return onediff_file.render(found)


def profile_sidecar(
    snapshot: RunSnapshot,
    run_id: str,
    date: datetime,
    quant_type: str,
    effects: EffectsFile | None = None,
) -> ProfileSidecar:
    """The sidecar of a profile that is measured, under one of its quant types."""
    profile, plan = snapshot.profiling.profile_of(quant_type), snapshot.profiling.planned
    assert profile is not None
    assert plan is not None
    effect_statistics = profile.effect_statistics()
    scores = profile.scores(effect_statistics)
    return ProfileSidecar(
        run=run_id,
        date=date.isoformat(timespec="seconds"),
        conditions=profile.conditions,
        machine=plan.machine,
        versions=plan.versions,
        elapsed_s=round(snapshot.worked_s, 3),
        batch_sizes=tuple(snapshot.profiling.batch_sizes),
        deployment_floor=profile.deployment_floor,
        measurement_noise=noise_of(scores),
        layers=scores,
        measurements=profile.measurements,
        floor=profile.floor,
        measuring_s=round(snapshot.profiling.measuring_s, 3),
        samples=sample_records(profile, effect_statistics),
        look=snapshot.profiling.look,
        effects=effects,
    )


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Reads the claims of a profile's JSON, with the sidecar's intervals and times if it has one.

    Raises:
        RequestError: A file cannot be read.
    """
    ssim_by_fqn = onediff_file.parse(read_text(path, "check the name"), str(path))
    beside = Path(onediff_file.sidecar_path(path))
    if not beside.is_file():
        return claims_of_file(ssim_by_fqn)
    record = sidecar.parse(read_text(beside, "check the file"), str(beside), ProfileSidecar)
    return claims_of_scores(ssim_by_fqn, record.profile.scores(), record.machine)


def read_selection_file(path: Path) -> SelectionSidecar | None:
    """Reads the record of a saved selection; None where the file has no sidecar of one."""
    beside = Path(onediff_file.sidecar_path(path))
    try:
        content = parse_json(beside.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("kind") != "selection":
        return None
    return sidecar.parse(json.dumps(content), str(beside), SelectionSidecar)
