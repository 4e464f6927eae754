"""Runs with pictures for the dashboard's tests: drawn here, made by no model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    ComparePlanned,
    Event,
    ImagesCompared,
    LayerMeasured,
)
from pixart_tui.domain.profiles.measurements import ImageSimilarity
from pixart_tui.domain.requests import BenchRequest, CompareRequest
from pixart_tui.runs.run import Run
from tests.tui import adjoint_runs, sample_runs
from tests.tui.sample_runs import PROMPTS, QUANT_TYPE, START_S

COMPARE_ID = "5a3c0005"
SIDE = 64
LAYER = "transformer_blocks.0.attn1.to_q"


def draw(path: Path, shade: int, offset: int = 0) -> Path:
    """A disc, moved by so many pixels."""
    image = Image.new("RGB", (SIDE, SIDE), (250, 250, 250))
    box = (8 + offset, 8, SIDE - 8 + offset, SIDE - 8)
    ImageDraw.Draw(image).ellipse(box, fill=(shade, 60, 200 - shade // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "WEBP", lossless=True)
    return path


def comparison(folder: Path, output: Path = Path("/data/comparison.png")) -> Run:
    """A finished comparison of four prompts; its pictures lie in the folder."""
    events = [*_comparison_events(folder), AttemptFinished(state="done")]
    request = CompareRequest(prompts=PROMPTS, output=str(output))
    return sample_runs.write_run(request, COMPARE_ID, events, created_s=START_S + 70)


def _comparison_events(folder: Path) -> Iterator[Event]:
    yield AttemptStarted(attempt=1)
    yield ComparePlanned(
        machine=sample_runs.MACHINE,
        versions={"torch": "2.13.0"},
        conditions=sample_runs.conditions(),
        layers=(LAYER,),
    )
    for number, prompt in enumerate(PROMPTS):
        reference = draw(folder / f"baseline-{number}.webp", 60 * number)
        image = draw(folder / f"quantized-{number}.webp", 60 * number + 9, offset=1)
        found = ImageSimilarity(ssim=0.99 - number / 1000, psnr_db=35.5, mae=0.006)
        yield _artifact("baseline_image", reference, prompt)
        yield _artifact("quantized_image", image, prompt)
        yield ImagesCompared(prompt=prompt, seed=0, similarity=found)


def imaged_profile(folder: Path) -> Run:
    """A finished profile with pictures of its first two layers."""
    events = list(sample_runs.profile_events(85))
    measured = [event for event in events if isinstance(event, LayerMeasured)]
    kept: list[Event] = [_artifact("baseline_image", draw(folder / "b.webp", 0), PROMPTS[0])]
    for number, event in enumerate(measured[:2]):
        path = draw(folder / f"layer-{number}.webp", 20 * number)
        kept.append(_artifact("layer_image", path, PROMPTS[0], event.layer))
    done = AttemptFinished(state="done")
    request = sample_runs.profile_request(folder)
    return sample_runs.write_run(request, sample_runs.PROFILE_ID, [*events, *kept, done])


def jointly_quantized(folder: Path) -> Run:
    """A profile of the adjoint method with pictures of every layer quantized."""
    plan = adjoint_runs.small(seeds=1)
    kept: list[Event] = []
    for number, prompt in enumerate(PROMPTS):
        reference = draw(folder / f"baseline-{number}.webp", 60 * number)
        image = draw(folder / f"joint-{number}.webp", 60 * number + 9, offset=1)
        kept.append(_artifact("baseline_image", reference, prompt))
        kept.append(_artifact("joint_image", image, prompt, QUANT_TYPE))
    events = [*adjoint_runs.events(plan, 4, ended=True), *kept, AttemptFinished(state="done")]
    return sample_runs.write_run(adjoint_runs.request(folder, plan), sample_runs.PROFILE_ID, events)


def imaged_bench(folder: Path) -> Run:
    """A benchmark whose first two rows have their image."""
    rows = sample_runs.bench_rows()
    events = list(sample_runs.bench_events(rows))
    events.append(_artifact("baseline_image", draw(folder / "none.webp", 0), PROMPTS[0]))
    path = draw(folder / "compile.webp", 40)
    events.append(_artifact("bench_image", path, PROMPTS[0], rows[1].label))
    request = BenchRequest(quantize=True, output=str(folder / "b.json"))
    return sample_runs.write_run(request, sample_runs.BENCH_ID, events, created_s=START_S + 60)


def _artifact(role: str, path: Path, prompt: str, label: str | None = None) -> ArtifactWritten:
    return ArtifactWritten(role=role, path=str(path), prompt=prompt, seed=0, label=label)


__all__ = [
    "COMPARE_ID",
    "LAYER",
    "QUANT_TYPE",
    "comparison",
    "imaged_bench",
    "imaged_profile",
    "jointly_quantized",
]
