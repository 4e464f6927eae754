"""Measure `pixart-emoji`: `python -m training.evaluate`.

Three questions: does a label draw its own emoji, does bfloat16 draw the same picture as float32,
and how long do four pictures take.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from diffusers import PixArtAlphaPipeline
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from training.dataset import DEFAULT_DATA, Dataset, load, random_indices
from training.sampling import DEFAULT_MODEL, default_call, draw, draw_many, initial_noise
from training.sampling import load_pipeline as load_model

RESULTS = Path("benchmarks/results/model/pixart-emoji-quality.json")
RECALL_LABELS = 160
PRECISION_PROMPTS = 16
SPEED_PROMPTS = 4
NEAREST_SIZE = 32
USUAL_GUIDANCE = 4.5
PRECISIONS = (torch.float32, torch.bfloat16)
PARTS = ("speed", "recall", "bfloat16")


def shrink(images: Tensor) -> Tensor:
    """Average pictures down to 32 x 32 and flatten them."""
    return F.adaptive_avg_pool2d(images, NEAREST_SIZE).flatten(1)


def nearest(drawn: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distances from each drawn picture to each known one, and the nearest."""
    distances = torch.cdist(shrink(drawn).double(), shrink(known).double()).square()
    return distances, distances.argmin(1)


def measure_recall(
    pipeline: PixArtAlphaPipeline, dataset: Dataset, settings: dict[str, Any]
) -> dict[str, Any]:
    """Count the labels whose picture is nearest to their own training picture.

    Two emoji may share one picture; then either counts as its own.
    """
    chosen = random_indices(RECALL_LABELS, len(dataset.emoji))
    labels = [dataset.emoji[at].label for at in chosen]
    drawn = draw_many(pipeline, labels, initial_noise(len(labels), seed=1), **settings)
    known = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).float() / 255
    distances, found = nearest(drawn, known)
    own = distances[torch.arange(len(chosen)), torch.tensor(chosen)]
    right = own <= distances.min(1).values
    wrong = {
        labels[row]: dataset.emoji[int(found[row])].label
        for row in range(len(labels))
        if not bool(right[row])
    }
    return {"labels": len(labels), "nearest_is_own": int(right.sum()), "confused_with": wrong}


def measure_precision(
    folder: Path, device: str, dataset: Dataset, settings: dict[str, Any]
) -> dict[str, Any]:
    """Compare bfloat16 with float32, at the default guidance and at the one of large models."""
    chosen = random_indices(PRECISION_PROMPTS, len(dataset.emoji), seed=7)
    labels = [dataset.emoji[at].label for at in chosen]
    exact, rounded = (load_model(folder, dtype, device) for dtype in PRECISIONS)
    other = {**settings, "guidance_scale": USUAL_GUIDANCE}
    return {
        "prompts": labels,
        "default_guidance": agreement(exact, rounded, labels, settings),
        f"guidance_{USUAL_GUIDANCE}": agreement(exact, rounded, labels, other),
    }


def agreement(
    exact: PixArtAlphaPipeline,
    rounded: PixArtAlphaPipeline,
    labels: list[str],
    settings: dict[str, Any],
) -> dict[str, float]:
    """Return the SSIM of two pipelines' pictures drawn from the same noise."""
    noise = initial_noise(len(labels), seed=2)
    first, second = (draw_many(model, labels, noise, **settings) for model in (exact, rounded))
    scores = structural_similarity_index_measure(second, first, data_range=1.0, reduction="none")
    values = np.asarray(scores, dtype=np.float64)
    return {"ssim_mean": float(values.mean()), "ssim_min": float(values.min())}


def measure_speed(
    pipeline: PixArtAlphaPipeline, dataset: Dataset, settings: dict[str, Any], repeats: int
) -> dict[str, Any]:
    """Time whole calls with four prompts, text encoder and decoder included."""
    labels = [item.label for item in dataset.emoji[:SPEED_PROMPTS]]
    noise = initial_noise(len(labels), seed=3)
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        draw(pipeline, labels, noise, **settings)
        seconds.append(time.perf_counter() - started)
    timed = seconds[1:]  # The first call pays for warming up.
    return {
        "prompts": len(labels),
        "seconds": {
            "median": statistics.median(timed), "min": min(timed), "max": max(timed),
            "n": len(timed),
        },
    }  # fmt: skip


def machine(device: str) -> dict[str, Any]:
    """Describe what runs the measurements."""
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "gpu": gpu,
    }


def cpu_name() -> str:
    """Return what the kernel calls the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def versions() -> dict[str, str]:
    """Return the versions that matter for the figures."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def weights_digest(folder: Path) -> str:
    """Return one digest of all weights of the model."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*/*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def earlier(output: Path, digest: str) -> dict[str, Any]:
    """Return what an earlier run measured of the same weights."""
    if not output.exists():
        return {}
    result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return {name: result[name] for name in PARTS if name in result and result["weights"] == digest}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Answer the questions that were asked."""
    dataset, settings = load(options.data), default_call(options.model)
    pipeline = load_model(options.model, torch.float32, options.device)
    answers = {
        "speed": lambda: measure_speed(pipeline, dataset, settings, options.repeats),
        "recall": lambda: measure_recall(pipeline, dataset, settings),
        "bfloat16": lambda: measure_precision(options.model, options.device, dataset, settings),
    }
    common: dict[str, Any] = {"command": " ".join(["python -m training.evaluate", *sys.argv[1:]])}
    common |= {"date": today(), "threads": torch.get_num_threads()}
    return {name: common | answers[name]() for name in options.parts}


def today() -> str:
    """Return the date."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="timed calls")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="measure these, keep the others"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Measure, print and save."""
    options = parse()
    torch.set_num_threads(options.threads)
    digest = weights_digest(options.model)
    result = {
        "machine": machine(options.device),
        "versions": versions(),
        "date": today(),
        "command": "python -m training.evaluate",
        "weights": digest,
        "settings": default_call(options.model),
        **earlier(options.output, digest),
        **measure(options),
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
