"""``--lora`` from end to end: the file is merged before anything is measured, and is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pixart_tui.cli.asking import request_of
from pixart_tui.cli.main import main
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.lora import find_lora
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.run import RunState
from pixart_tui.worker.attempt import work_on
from tests.engine.loading.loras import MODEL, diffusers_file, peft_folder, random_halves
from tests.worker.generate_runs import generated

pytestmark = pytest.mark.usefixtures("forked_workers")

_COMMON = ["--model", MODEL, "--steps", "2", "--device", "cpu"]
_PROFILE = ["profile", *_COMMON, "--prompt", "owl", "--draws", "2", "--display", "none"]


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return diffusers_file(tmp_path / "style.safetensors", random_halves())


def _record(path: Path) -> ProfileSidecar:
    text = Path(onediff_file.sidecar_path(path)).read_text()
    return sidecar.parse(text, str(path), ProfileSidecar)


def test_a_profile_of_a_merged_model_is_of_another_model_and_can_be_verified(
    tmp_path: Path, style: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, merged = tmp_path / "plain.json", tmp_path / "merged.json"
    assert main([*_PROFILE, "--output", str(plain)]) == 0
    lora = ["--lora", str(style), "--lora-scale", "0.5"]
    assert main([*_PROFILE, *lora, "--output", str(merged)]) == 0
    before, after = _record(plain).conditions, _record(merged).conditions
    assert before.lora is None
    assert after.lora == find_lora(style, 0.5)
    assert after.lora.file_name == "style.safetensors"
    loaded = load_pipeline(
        MODEL, dtype=torch.float32, device=torch.device("cpu"), lora=find_lora(style, 0.5)
    )
    assert after.model_fingerprint == loaded.fingerprint != before.model_fingerprint
    ssims = [[score.ssim for score in _record(path).layers] for path in (plain, merged)]
    assert ssims[0] != ssims[1]
    assert main(["attach", "last", "--display", "plain"]) == 0
    assert f"LoRA: style.safetensors x 0.5, sha256 {after.lora.sha256}" in capsys.readouterr().out

    page = tmp_path / "report.md"
    assert main(["report", "last", "--format", "markdown", "--output", str(page)]) == 0
    told = page.read_text()
    assert after.lora.whole_words in told
    assert "--lora-scale 0.5" in told

    select = ["select", str(merged), "--flops-share", "0.3", "--verify", "--display", "none"]
    sets = ["--repair-images", "1", "--report-images", "2", "--device", "cpu"]
    assert main([*select, *sets]) == 0


def test_a_resume_with_another_file_is_refused(tmp_path: Path, style: Path) -> None:
    words = [*_PROFILE, "--lora", str(style), "--output", str(tmp_path / "x.json"), "--detach"]
    assert main(words) == 0
    run = find_run("last")
    assert main(["attach", "last", "--display", "none"]) == 0
    run.poll()
    # As if the attempt had ended once it had planned, and another file were there now.
    lines = run.paths.events.read_bytes().splitlines(keepends=True)
    planned = next(n for n, line in enumerate(lines) if b'"profile_planned"' in line)
    run.paths.events.write_bytes(b"".join(lines[: planned + 1]))
    diffusers_file(style, random_halves(rank=2))
    assert work_on(run.paths.directory) == 2
    again = find_run("last")
    again.poll()
    assert again.state() is RunState.FAILED
    failure = again.trouble()
    assert failure is not None
    assert failure.title == "the LoRA is another file than it was"


def test_generate_draws_with_the_lora(style: Path) -> None:
    def drawn(**fields: object) -> bytes:
        run = generated(model=MODEL, **fields)
        return (run.paths.artifacts / "image-0.png").read_bytes()

    assert drawn() != drawn(lora=find_lora(style))
    words = ["generate", *_COMMON, "--scheduler", "none", "--warmups", "0", "--display", "none"]
    assert main([*words, "--lora", str(style), "--lora-scale", "-2"]) == 0
    run = find_run("last")
    assert run.record is not None
    assert run.record.request.lora == find_lora(style, -2.0)
    plan = run.snapshot.generation.plan
    assert plan is not None
    assert plan.lora == run.record.request.lora


def test_compare_quantizes_the_merged_model(tmp_path: Path, style: Path) -> None:
    words = ["compare", *_COMMON, "--prompt", "owl", "--display", "none", "--lora", str(style)]
    assert main([*words, "--output", str(tmp_path / "pair.png")]) == 0
    plan = find_run("last").snapshot.comparison.plan
    assert plan is not None
    assert plan.conditions.lora == find_lora(style)


def test_each_row_of_a_benchmark_has_the_lora(tmp_path: Path, style: Path) -> None:
    output = tmp_path / "bench.json"
    words = ["bench", *_COMMON, "--compiler", "none", "--repeats", "1", "--lora", str(style)]
    quantized = ["--quantize", "--quantize-config", '{"quant_type": "int8_weightonly"}']
    assert main([*words, *quantized, "--json", str(output), "--display", "none"]) == 0
    rows = json.loads(output.read_text())["rows"]
    assert len(rows) == 2
    for row in rows:
        assert row["lora"]["path"] == str(style)
        assert row["model_fingerprint"].startswith("sha256:")
    assert "style.safetensors x 1, sha256" in output.with_suffix(".md").read_text()


def test_a_checkpoint_is_that_of_the_merged_model(
    tmp_path: Path, style: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "int8_weightonly.json"
    words = [*_PROFILE, "--quant-type", "int8_weightonly", "--lora", str(style)]
    assert main([*words, "--output", str(path)]) == 0
    moved = style.rename(tmp_path / "moved.safetensors")
    words = ["export", str(path), "--format", "diffusers", "--device", "cpu", "--display", "none"]
    output = ["--output", str(tmp_path / "checkpoint")]
    assert main([*words, *output]) == 2
    assert "style.safetensors" in capsys.readouterr().err
    assert main([*words, *output, "--lora", str(moved)]) == 0
    shutil.copy(moved, style)
    words = ["export", str(path), "--format", "torchao", "--device", "cpu"]
    assert main([*words, "--output", str(tmp_path / "torchao.json")]) == 0
    snippet = capsys.readouterr().out
    assert f'lora=find_lora("{style}", 1.0)' in snippet


def test_a_folder_is_named_after_what_differs(style: Path, tmp_path: Path) -> None:
    def output(*words: str) -> Path:
        return Path(request_of(["profile", "--device", "cpu", *words]).output or "")

    assert output("--lora", str(style)).parent.name == "lora-style"
    scaled = output("--lora", str(style), "--lora-scale", "0.5", "--variant", "fp16")
    assert scaled.parent.name == "fp16-lora-style-x0.5"
    folder = peft_folder(tmp_path / "paint", random_halves(), lora_alpha=4)
    exhaustive = output("--lora", str(folder), "--method", "exhaustive")
    assert exhaustive.parent.name == "exhaustive-lora-paint"


def test_a_lora_is_found_from_anywhere(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = request_of(["bench", "--device", "cpu", "--lora", style.name, "--variant", "fp16"])
    assert request.lora == find_lora(style)
    assert request.variant == "fp16"
    assert request.model_words == "pixart-emoji + style.safetensors x 1"


def _folder_of_two(folder: Path) -> Path:
    for name in ("one", "two"):
        diffusers_file(folder / f"{name}.safetensors", random_halves())
    return folder


def _empty(folder: Path) -> Path:
    return folder


def _pickle(folder: Path) -> Path:
    (folder / "style.bin").write_bytes(b"")
    return folder / "style.bin"


@pytest.mark.parametrize(
    ("make", "title", "cause"),
    [
        (_folder_of_two, "holds 2 safetensors files", "one.safetensors, two.safetensors"),
        (_empty, "holds no safetensors files", "safetensors"),
        (_pickle, "is not a LoRA file", 'it ends in ".bin"'),
        (lambda folder: folder / "none.safetensors", "is not a LoRA file", "no such file"),
    ],
)
def test_a_path_that_names_no_lora_is_told_before_a_run_starts(
    make: object, title: str, cause: str, tmp_path: Path
) -> None:
    assert callable(make)
    (tmp_path / "folder").mkdir()
    path = make(tmp_path / "folder")
    with pytest.raises(RequestError) as caught:
        request_of(["profile", "--device", "cpu", "--lora", str(path)])
    assert title in caught.value.title
    assert cause in caught.value.cause
    assert caught.value.option == "--lora"


def test_a_scale_needs_a_lora() -> None:
    with pytest.raises(RequestError, match="--lora-scale needs --lora"):
        request_of(["bench", "--device", "cpu", "--lora-scale", "0.5"])
