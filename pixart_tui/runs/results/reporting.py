"""Collects the content of a report from a run, or from a profile's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pixart_tui.domain.benchmarks.rows import describe_warmups
from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.events import ArtifactWritten, BenchPlanned, ProfilePlanned, VerifyPlanned
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.files.text_files import read_text
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.pareto import Curve, pareto_curve
from pixart_tui.reporting.bench_table import BenchTable, bench_table, matrix_table
from pixart_tui.reporting.command import command_of
from pixart_tui.reporting.content import Measured, Picture, Report
from pixart_tui.reporting.sample_notes import sample_records
from pixart_tui.reporting.score_text import every_layer_label
from pixart_tui.reporting.step_shares import StepShares, steps_of
from pixart_tui.runs.run import Run
from pixart_tui.runs.snapshot import RunSnapshot

_PNG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"RIFF", b"WEBP"


def report_of_run(run: Run) -> Report:
    """Builds the report of a run from what it holds so far.

    Raises:
        RequestError: It holds nothing to report.
    """
    run.refuse_removed()
    run.refuse_damaged()
    snapshot, request = run.snapshot, run.record.request if run.record else None
    plan = snapshot.profiling.planned or snapshot.benchmark.plan or snapshot.verification.plan
    if request is None or plan is None:
        raise RequestError(
            f"run {run.id} holds nothing to report",
            cause=run.problem or f"it is {run.state()}",
            next_step="see what there is: pixart-tui runs",
        )
    measured = (
        tuple(_measured(snapshot))
        if snapshot.profiling.measured or snapshot.profiling.samples
        else ()
    )
    verified = snapshot.verification.result
    return Report(
        title=_title(request.model, plan, measured),
        run=f"{run.id} ({request.kind}, {run.state()})",
        command=command_of(request),
        date=_day(run.created_s),
        machine=plan.machine,
        versions=plan.versions,
        conditions=_conditions(plan),
        measured=measured,
        selection=verified.selection if verified else None,
        verification=verified.verification if verified else None,
        bench=_bench(run),
        bench_notes=tuple(_bench_notes(run)),
        bench_case=next((row.case for row in snapshot.benchmark.rows.values()), None),
        pictures=tuple(_pictures(run)),
    )


def report_of_file(path: Path) -> Report:
    """The report of a profile's JSON with its sidecar.

    Raises:
        RequestError: One of the two cannot be read.
    """
    beside = Path(onediff_file.sidecar_path(path))
    read_text(path, "name a profile or a run")
    text = read_text(beside, "name a profile or a run")
    record = sidecar.parse(text, str(beside), ProfileSidecar)
    profile = record.profile
    steps = _steps_of_file(path, profile)
    found = Measured(profile, _curve(profile), record.samples, record.look, steps)
    return Report(
        title=_profile_title((found,)),
        run=f"{record.run}, {path.name}",
        date=record.date,
        machine=record.machine,
        versions=record.versions,
        conditions=record.conditions,
        measured=(found,),
    )


def _measured(snapshot: RunSnapshot) -> Iterator[Measured]:
    for profile in snapshot.profiling.profiles:
        effects = profile.effect_statistics()
        records, steps = sample_records(profile, effects), steps_of(profile, effects)
        yield Measured(profile, _curve(profile), records, snapshot.profiling.look, steps)


def _steps_of_file(path: Path, profile: Profile) -> StepShares | None:
    """None where the effects do not lie beside the profile, without which a report is possible."""
    if profile.conditions.method != "adjoint":
        return None
    # Only now: no other report needs numpy.
    from pixart_tui.runs.results.step_effects import read_step_effects

    try:
        found = read_step_effects([path])
    except PixartTuiError:
        return None
    known = found.by_type.get(profile.conditions.quant_type) if found else None
    return steps_of(profile, known)


def _title(
    model: str, plan: ProfilePlanned | BenchPlanned | VerifyPlanned, measured: Sequence[Measured]
) -> str:
    if measured:
        return _profile_title(measured)
    words = "Benchmark of" if isinstance(plan, BenchPlanned) else "Selection for"
    return f"{words} {Path(model).name}"


def _profile_title(measured: Sequence[Measured]) -> str:
    model = Path(measured[0].profile.conditions.model).name
    return f"{model}: sensitivity to {', '.join(found.quant_type for found in measured)}"


def _conditions(plan: ProfilePlanned | BenchPlanned | VerifyPlanned) -> Conditions | None:
    if isinstance(plan, ProfilePlanned):
        return plan.conditions
    return plan.conditions[0] if isinstance(plan, VerifyPlanned) else None


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")


def _curve(profile: Profile) -> Curve | None:
    """None while too little is measured to choose from."""
    try:
        return pareto_curve(candidates_of([profile]))
    except PixartTuiError:
        return None


def _bench(run: Run) -> BenchTable | None:
    rows = tuple(run.snapshot.benchmark.rows.values())
    if not rows:
        return None
    request = run.record.request if run.record else None
    matrix = isinstance(request, BenchRequest) and bool(request.matrix)
    return matrix_table(rows) if matrix else bench_table(rows)


def _bench_notes(run: Run) -> Iterator[str]:
    for row in run.snapshot.benchmark.rows.values():
        for made in describe_warmups(row):
            yield f"{row.label}: {made}"
        if row.error:
            yield f"{row.label} failed: {row.error}"
        elif row.case.execution == "simulated":
            yield f"{row.label}: simulated, {row.execution_note}"


def _pictures(run: Run) -> Iterator[Picture]:
    seen: set[str] = set()
    for artifact in run.snapshot.artifacts:
        if not artifact.role.endswith("_image") or artifact.path in seen:
            continue
        seen.add(artifact.path)
        try:
            data = (run.paths.directory / artifact.path).read_bytes()
        except OSError:  # kept elsewhere, or removed since
            continue
        media_type = _media_type(data)
        if media_type is not None:
            caption = _caption(artifact)
            yield Picture(artifact.prompt or "", artifact.seed, caption, data, media_type)


def _media_type(data: bytes) -> str | None:
    """Returns the media type by an image's first bytes; None for types that no browser gets."""
    if data.startswith(_PNG):
        return "image/png"
    return "image/webp" if data[:4] == _RIFF and data[8:12] == _WEBP else None


def _caption(artifact: ArtifactWritten) -> str:
    kind = artifact.role.removesuffix("_image")
    if kind == "joint":
        return every_layer_label(artifact.label or "")
    return artifact.label or ("nothing quantized" if kind == "baseline" else kind)
