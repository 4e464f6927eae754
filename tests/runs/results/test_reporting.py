"""Reports of runs and of files, with images that are there, gone, or no images."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from PIL import Image

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ArtifactWritten, LayerMeasured, ProfilePlanned
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.profiles.effect_statistics import EffectStatistics
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.reporting.html import render_html
from pixart_tui.reporting.markdown import render_markdown
from pixart_tui.reporting.sample_notes import sample_records
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.results.effects_file import effects_path, write_effects
from pixart_tui.runs.results.reporting import report_of_file, report_of_run
from pixart_tui.runs.run import Run
from tests.adjoint_effects import sample_effects
from tests.runs.builders import removed_run
from tests.samples import QUANT_TYPE, conditions, layer, measurement, write_profile
from tests.tui import adjoint_runs

_NAMES = ("transformer_blocks.0.attn1.to_q", "proj_out")
_MACHINE = Machine(device="cpu", device_name="x", cpu_cores=2, memory_bytes=1, os="Linux")


def _run() -> Run:
    run = create_run(
        ProfileRequest(method="exhaustive", prompts=("robot",), output="/x/fp8_e4m3.json")
    )
    plan = ProfilePlanned(
        machine=_MACHINE,
        versions={"torch": "2.13.0"},
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _NAMES),
        excluded={},
    )
    run.snapshot.apply(JournalEntry(t=time.time(), event=plan))
    for fqn in _NAMES:
        measured = LayerMeasured(layer=fqn, measurements=(measurement(fqn),), elapsed_s=1.0)
        run.snapshot.apply(JournalEntry(t=time.time(), event=measured))
    return run


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, kind)
    return buffer.getvalue()


def test_a_run_s_report_has_its_kept_images_and_no_other_file() -> None:
    run = _run()
    run.paths.artifacts.mkdir()
    files = {"a.png": _image("PNG"), "b.webp": _image("WEBP"), "c.png": b"<svg onload=x>"}
    for name, data in files.items():
        (run.paths.artifacts / name).write_bytes(data)
    for role, name in (
        ("baseline_image", "a.png"),
        ("layer_image", "b.webp"),
        ("layer_image", "c.png"),
        ("layer_image", "gone.png"),
        ("profile", "a.png"),
    ):
        written = ArtifactWritten(role=role, path=f"artifacts/{name}", prompt="robot", seed=0)
        run.snapshot.apply(JournalEntry(t=time.time(), event=written))
    report = report_of_run(run)
    assert [(x.caption, x.media_type) for x in report.pictures] == [
        ("nothing quantized", "image/png"),
        ("layer", "image/webp"),
    ]
    assert report.command == (
        "pixart-tui profile --model pixart-emoji --prompt robot --method exhaustive --device cpu"
    )
    (measured,) = report.measured
    assert measured.curve is not None


def test_a_run_of_several_quant_types_is_reported_with_all_of_them(tmp_path: Path) -> None:
    plan = adjoint_runs.small(QUANT_TYPE, adjoint_runs.INT8, seeds=1, out_of_range=("robot",))
    run = adjoint_runs.finished(tmp_path, plan)
    run.poll()
    joint = ArtifactWritten(
        role="joint_image", path="artifacts/j.png", prompt="robot", seed=0, label=QUANT_TYPE
    )
    run.paths.artifacts.mkdir()
    (run.paths.artifacts / "j.png").write_bytes(_image("PNG"))
    run.snapshot.apply(JournalEntry(t=time.time(), event=joint))
    report = report_of_run(run)
    assert report.title == f"pixart-emoji: sensitivity to {QUANT_TYPE}, {adjoint_runs.INT8}"
    assert [picture.caption for picture in report.pictures] == [f"every layer in {QUANT_TYPE}"]
    markdown, html = render_markdown(report), render_html(report)
    assert "effect of all layers by step: " in html
    for text in (markdown.replace("\\", ""), html.replace("&quot;", '"')):
        for quant_type in (QUANT_TYPE, adjoint_runs.INT8):
            assert f"Layers, most sensitive first: {quant_type}" in text
        assert "all 4 samples measured; " in text
        assert '! "robot" (seed 0) is out of the linear range' in text
        assert "adjoint, 8 draws" in text
        assert "PSNR" not in text


def test_a_run_of_the_removed_method_is_not_reported(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="of the fast method, which was removed"):
        report_of_run(removed_run(tmp_path))


def test_a_run_without_anything_says_so() -> None:
    run = create_run(ProfileRequest(output="/x.json"))
    with pytest.raises(RequestError, match="holds nothing to report"):
        report_of_run(run)


def test_a_profile_s_files_make_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ssims = dict.fromkeys(_NAMES, 0.99)
    profile = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _NAMES),
        excluded={},
        measurements=tuple(measurement(fqn) for fqn in _NAMES),
    )
    path = write_profile(tmp_path / "fp8_e4m3.json", profile, ssims, "cpu")
    assert report_of_file(path).machine == _MACHINE
    assert main(["report", str(path), "--output", str(tmp_path / "out.html")]) == 0
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    capsys.readouterr()
    assert main(["report", str(path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# pixart-emoji: sensitivity to")
    assert main(["report", str(path), "--output", "/dev/null/x.html"]) == 2
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert QUANT_TYPE in report_of_file(path).title


def test_a_file_s_report_has_the_effect_by_step_while_the_effects_lie_beside_it(
    tmp_path: Path,
) -> None:
    adjoint = conditions().replace(method="adjoint", draws=4)
    profile = Profile(
        conditions=adjoint,
        layers=tuple(layer(fqn) for fqn in _NAMES),
        excluded={},
        measurements=tuple(measurement(fqn) for fqn in _NAMES),
    )
    path = write_profile(tmp_path / "fp8_e4m3.json", profile, dict.fromkeys(_NAMES, 0.99), "cpu")
    losses = {QUANT_TYPE: [0.01 * (1 + place) for place in range(len(_NAMES))]}
    samples = [sample_effects(prompt, losses, draws=4, calls=5) for prompt in ("robot", "cat")]
    record = write_effects(effects_path(path), samples)
    beside = Path(onediff_file.sidecar_path(path))
    found = sidecar.parse(beside.read_text(), "it", sidecar.ProfileSidecar)
    known = sample_records(
        profile.replace(effects=tuple(samples)),
        EffectStatistics.of(samples, QUANT_TYPE),
    )
    beside.write_text(sidecar.render(found.replace(effects=record, samples=known)))
    report = report_of_file(path)
    assert report.measured[0].steps is not None
    assert len(report.measured[0].steps.together) == 5
    assert "Effect by step" in render_markdown(report)
    effects_path(path).unlink()
    assert "Effect by step" not in render_markdown(report_of_file(path))
