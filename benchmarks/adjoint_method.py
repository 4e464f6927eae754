r"""The adjoint method on a trained PixArt of the published shape: ranks, intervals, sums, seconds.

    python -m training.train --published-shape --output build/pixart-emoji-28
    python -m benchmarks.adjoint_method build/pixart-emoji-28 \
        --output benchmarks/results/method/adjoint-depth.json

First the adjoint method on 8 prompts at each guidance, with nothing else on the device. Then brute
force on the same prompts, the joint loss of selections by the sum of their layers' losses beside
the measured one, on those images and on other prompts, and brute force of the single layers on the
other prompts. What is done stands in the file after each part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.accuracy import Reference, on_other_prompts, on_the_same_images, spearman
from benchmarks.profile_accuracy import Samples, reference_of
from benchmarks.profile_agreement import read
from benchmarks.settings import default_settings
from benchmarks.variants import Variants
from pixart_tui import library
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.selection import choose
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample

_SHARES: Final = (0.5, 0.7, 0.8, 0.9, 0.95)


def measure(
    model: str,
    guidances: Sequence[float],
    draws: Sequence[int],
    prompts: tuple[Sequence[str], Sequence[str]],
    *,
    device: str,
    keep: Path | None,
    known: Samples | None,
    save: Callable[[dict[str, Any]], None],
) -> None:
    """Measures everything; ``save`` takes what is known after each part.

    Args:
        model: As ``--model`` takes it.
        guidances: Classifier-free guidance.
        draws: Of the adjoint method, one profile each.
        prompts: Those that are profiled, and others.
        device: Where.
        keep: Folder for the profiles; None for none.
        known: Brute force of single layers, seed 0, in place of measuring it.
        save: Takes the result.
    """
    own, others = prompts
    where = torch.device(device)
    result: dict[str, Any] = {
        "model": model,
        "machine": describe_machine(where).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.adjoint_method", *sys.argv[1:]]),
        "prompts": list(own),
        "other_prompts": list(others),
        "guidances": {},
    }
    # Kernels are compiled and loaded once.
    library.profile(model, prompts=own[:1], draws=2, steps=2, all_samples=True, device=device)
    adjoint: dict[float, dict[int, library.Profiled]] = {}
    for guidance in guidances:
        found: dict[str, Any] = {}
        result["guidances"][f"{guidance:g}"] = found
        adjoint[guidance] = {}
        for count in draws:
            made = library.profile(
                model,
                prompts=own,
                guidance_scale=guidance,
                draws=count,
                all_samples=True,
                device=device,
            )
            adjoint[guidance][count] = made
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                made.save(keep / f"{guidance:g}-{count}.json")
            found[f"adjoint_{count}_draws"] = {
                "measuring_s": made.record.measuring_s,
                "samples": [x.model_dump(exclude={"seed"}) for x in made.record.samples],
            }
            save(result)
    imagers = {x: _Brute(model, own, others, x, where) for x in guidances}
    fqns = [s.layer.fqn for s in made.record.layers if s.loss is not None]
    references = {}
    for guidance, profiles in adjoint.items():
        found, imager = result["guidances"][f"{guidance:g}"], imagers[guidance]
        reference, found["brute_force"] = imager.reference(fqns, own, known)
        references[guidance] = reference
        for count, made in profiles.items():
            figures = on_the_same_images(made.record.layers, reference)
            found[f"adjoint_{count}_draws"]["these_images"] = figures
        save(result)
        found["joint"] = _joint(imager, profiles[draws[0]], reference, own, others)
        save(result)
    for guidance, profiles in adjoint.items():
        found = result["guidances"][f"{guidance:g}"]
        elsewhere, figures = imagers[guidance].reference(fqns, others, known)
        figures["spearman"] = spearman(references[guidance].means, elsewhere.means)
        found["brute_force_on_other_prompts"] = figures
        for count, made in profiles.items():
            figures = on_other_prompts(made.record.layers, elsewhere)
            found[f"adjoint_{count}_draws"]["other_prompts"] = figures
        save(result)


class _Brute:
    """Brute force with one loaded model."""

    def __init__(
        self,
        model: str,
        own: Sequence[str],
        others: Sequence[str],
        guidance: float,
        device: torch.device,
    ) -> None:
        loaded = load_pipeline(model, dtype=torch.float32, device=device)
        settings = default_settings(loaded, [Sample(x, 0) for x in (*own, *others)], guidance)
        self._renderer = Renderer(loaded.pipeline, settings, lambda: None)
        self._quant_type = parse_quant_type(DEFAULT_QUANT_TYPE)

    def reference(
        self, fqns: Sequence[str], prompts: Sequence[str], known: Samples | None
    ) -> tuple[Reference, dict[str, Any]]:
        """Each layer alone, and what is kept of it: seconds and losses where they are measured."""
        if known is not None:
            return known.of(lambda key: key in {(x, 0) for x in prompts}).reference, {}
        start_s = time.perf_counter()
        losses = self.sets([{fqn} for fqn in fqns], prompts)
        measuring_s = round(time.perf_counter() - start_s, 2)
        reference = Reference(tuple(fqns), tuple(prompts), losses)
        return reference, {"measuring_s": measuring_s, "losses": _losses(reference)}

    def sets(self, sets: Sequence[set[str]], prompts: Sequence[str]) -> Any:
        """1 - SSIM of each set of layers and prompt."""
        samples = tuple(Sample(prompt, 0) for prompt in prompts)
        renderer = self._renderer.of(samples)
        return Variants(renderer, self._quant_type).losses(sets)


def _joint(
    imager: _Brute,
    made: library.Profiled,
    reference: Reference,
    own: Sequence[str],
    others: Sequence[str],
) -> list[dict[str, float]]:
    """Predicted and measured loss of selections at several shares of FLOPs."""
    candidates = candidates_of([made.profile])
    selections = [choose(candidates, "flops-share", share) for share in _SHARES]
    sets = [set(selection.chosen) for selection in selections]
    measured, held_out = (imager.sets(sets, prompts).mean(axis=1) for prompts in (own, others))
    brute = dict(zip(reference.fqns, reference.means, strict=True))
    return [
        {
            "share": share,
            "layers": len(selection.chosen),
            "predicted": selection.predicted_loss,
            "sum_of_brute_force": float(sum(brute[fqn] for fqn in selection.chosen)),
            "measured_on_these_images": float(measured[at]),
            "measured_on_other_prompts": float(held_out[at]),
        }
        for at, (share, selection) in enumerate(zip(_SHARES, selections, strict=True))
    ]


def _losses(reference: Reference) -> dict[str, list[float]]:
    rounded = np.round(reference.losses, 9)
    return {fqn: row.tolist() for fqn, row in zip(reference.fqns, rounded, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--guidance", type=float, nargs="+", default=[4.5, 2.0])
    parser.add_argument("--draws", type=int, nargs="+", default=[16, 8])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--other-prompts", type=int, default=8)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--reference", type=Path, metavar="PROFILE.json", help="brute force that is there already"
    )
    parser.add_argument("--keep", type=Path, help="folder for the profiles and their effects")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    every = prompts_for("pixart-emoji")
    own = every[: options.prompts]
    others = every[options.prompts :][: options.other_prompts]
    options.output.parent.mkdir(parents=True, exist_ok=True)

    def save(result: dict[str, Any]) -> None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")

    measure(
        options.model,
        options.guidance,
        options.draws,
        (own, others),
        device=options.device,
        keep=options.keep,
        known=reference_of(read(options.reference)) if options.reference else None,
        save=save,
    )
    print(summary(json.loads(options.output.read_text())))
    return 0


def summary(result: dict[str, Any]) -> str:
    """A few lines of what was measured."""
    lines = []
    for guidance, found in result["guidances"].items():
        for name, made in found.items():
            if name.startswith("adjoint"):
                these, others = made.get("these_images", {}), made.get("other_prompts", {})
                lines.append(f"{guidance} {name} {made['measuring_s']} s {these} others {others}")
        for name in ("brute_force", "brute_force_on_other_prompts"):
            figures = found.get(name, {})
            told = {key: x for key, x in figures.items() if key != "losses"}
            lines.append(f"{guidance} {name} {told}")
        lines += [str(x) for x in found.get("joint", [])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
