"""Images and their reference on stdout."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from pixart_tui.cli.display.writing import console, say
from pixart_tui.domain.profiles.measurements import ImageSimilarity
from pixart_tui.runs.results.pairs import pairs_of
from pixart_tui.runs.run import Run


def print_similarity(found: ImageSimilarity) -> None:
    """The figures of two images, one a line."""
    psnr = "infinite: the images are equal" if found.psnr_db is None else f"{found.psnr_db:.2f} dB"
    for name, text in (
        ("SSIM", f"{found.ssim:.6f}"),
        ("PSNR", psnr),
        ("MAE", f"{found.mae:.6f} of 1"),
    ):
        say(f"{name}  {text}")


def print_comparison(run: Run) -> None:
    """Prints the pairs of a comparison, a line for each prompt and seed."""
    plan = run.snapshot.comparison.plan
    assert plan is not None
    conditions = plan.conditions
    title = f"{conditions.model}, {len(plan.layers)} layers in {conditions.quant_type}"
    table = Table(title=f"{title} ({conditions.execution})", title_justify="left")
    table.add_column("prompt", overflow="fold")
    for heading in ("seed", "SSIM", "PSNR dB", "MAE"):
        table.add_column(heading, justify="right", no_wrap=True)
    for found in run.snapshot.comparison.pairs.values():
        cells = _cells(found.similarity)
        table.add_row(found.prompt, str(found.seed), *cells)
    console().print(table)
    if conditions.lora:
        told = f"LoRA: {conditions.lora.whole_words}"
        console().print(told, highlight=False, soft_wrap=True)


def comparison_json(run: Run) -> dict[str, Any]:
    """The same for JSON, with the files."""
    files = {(pair.prompt, pair.seed): pair for pair in pairs_of(run.snapshot, run.paths.directory)}
    plan = run.snapshot.comparison.plan
    images: list[dict[str, Any]] = []
    for key, found in run.snapshot.comparison.pairs.items():
        pair = files.get(key)
        figures = found.similarity.model_dump() if found.similarity else dict.fromkeys(_FIGURES)
        images.append(
            {"prompt": found.prompt, "seed": found.seed, **figures}
            | {"unquantized": str(pair.reference) if pair else None}
            | {"quantized": str(pair.image) if pair else None}
        )
    request = run.record.request if run.record else None
    return {
        "run": run.id,
        "conditions": plan.conditions.model_dump(mode="json") if plan else None,
        "layers": list(plan.layers) if plan else None,
        "machine": plan.machine.model_dump(mode="json") if plan else None,
        "versions": dict(plan.versions) if plan else None,
        "images": images,
        "side_by_side": request.output if request else None,
    }


_FIGURES = tuple(ImageSimilarity.model_fields)


def _cells(found: ImageSimilarity | None) -> tuple[str, str, str]:
    if found is None:
        return ("NaN", "-", "-")
    psnr = "equal" if found.psnr_db is None else f"{found.psnr_db:.2f}"
    return (f"{found.ssim:.6f}", psnr, f"{found.mae:.6f}")
