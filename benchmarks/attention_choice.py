r"""Self-attention in fp8, block by block: adjoint method, brute force, and the loss of half of it.

    python -m benchmarks.attention_choice build/pixart-emoji-28 --device cuda \
        --output benchmarks/results/selection/attention-choice-28.json

One adjoint pass measures the loss of each block's attention. Brute force makes the same images with
one block's attention in fp8 after another. Then the attention of the cheapest quarter, half and
three quarters of the blocks goes to fp8 together, and that of all: measured on the same images and
on other prompts. The numerics are the reference of the kernel, so the figures are of images alone;
``benchmarks.step_profile`` has the speed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.accuracy import Reference, on_the_same_images
from benchmarks.settings import default_settings
from pixart_tui import library
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.rendering import Sample
from pixart_tui.engine.verification.probe import JointProbe, Samples

_SHARES: Final = (0.25, 0.5, 0.75, 1.0)
_PROMPTS_OF: Final = "pixart-emoji"


def measure(model: str, guidance: float, prompts: int, device: str) -> Iterator[dict[str, Any]]:
    """Everything that the file holds; first without the joint losses."""
    every = prompts_for(_PROMPTS_OF)
    own, others = (
        tuple(Sample(x, 0) for x in part) for part in (every[:prompts], every[prompts:][:prompts])
    )
    made = library.profile(
        model,
        fp8_attention=True,
        prompts=[x.prompt for x in own],
        guidance_scale=guidance,
        all_samples=True,
        device=device,
    )
    (attention,) = (x for x in made.more if x.profile.conditions.quant_type == FP8_ATTENTION)
    scores = [x for x in attention.record.layers if x.loss is not None]
    probe = _probe(model, guidance, (*own, *others), torch.device(device))
    start_s = time.perf_counter()
    losses = np.array([_losses(probe, [x.layer.fqn], own) for x in scores])
    brute_force_s = time.perf_counter() - start_s
    reference = Reference(tuple(x.layer.fqn for x in scores), tuple(x.prompt for x in own), losses)
    result: dict[str, Any] = {
        "model": model,
        "guidance_scale": guidance,
        "machine": describe_machine(torch.device(device)).model_dump(),
        "versions": describe_versions(),
        "prompts": [x.prompt for x in own],
        "other_prompts": [x.prompt for x in others],
        "loss_by_block": {
            x.layer.fqn: {"adjoint": x.loss, "brute_force": float(row.mean())}
            for x, row in zip(scores, losses, strict=True)
        },
        "these_images": on_the_same_images(scores, reference),
        "brute_force_s": round(brute_force_s, 2),
    }
    yield result
    yield result | {"joint": list(_joint(probe, scores, own, others))}


def _joint(
    probe: JointProbe, scores: Sequence[LayerScore], own: Samples, others: Samples
) -> Iterator[dict[str, float]]:
    """The cheapest blocks together."""
    cheapest = sorted(scores, key=lambda x: x.loss or 0)
    for share in _SHARES:
        chosen = cheapest[: round(share * len(cheapest))]
        names = [x.layer.fqn for x in chosen]
        yield {
            "share_of_blocks": share,
            "blocks": len(chosen),
            "predicted": float(sum(x.loss or 0 for x in chosen)),
            "measured_on_these_images": float(np.mean(_losses(probe, names, own))),
            "measured_on_other_prompts": float(np.mean(_losses(probe, names, others))),
        }


def _losses(probe: JointProbe, attention: Sequence[str], samples: Samples) -> list[float]:
    """1 - SSIM of each sample."""
    compared = probe.measure(Choice.of_one(FP8_ATTENTION, attention), samples)
    return [1 - (x.ssim if x.ssim is not None else float("nan")) for x in compared]


def _probe(model: str, guidance: float, samples: Samples, device: torch.device) -> JointProbe:
    loaded = load_pipeline(model, dtype=torch.float32, device=device)
    settings = default_settings(loaded, samples, guidance)
    return JointProbe(
        loaded.pipeline, settings, Execution.SIMULATED, replicas=2, check=lambda: None
    )


def main() -> None:
    """Measures and writes the result after each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="pixart-emoji")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    told = {
        "command": " ".join(["python -m benchmarks.attention_choice", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for result in measure(options.model, options.guidance, options.prompts, options.device):
        options.output.write_text(json.dumps(told | result, indent=1) + "\n")
        print(result["these_images"], *result.get("joint", ()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
