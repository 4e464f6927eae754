"""Selections against OneDiff's rule, measured on prompts and seeds that made none of them.

    python -m benchmarks.selection_quality [--images 32] [--profiles FOLDER] [--device cuda]
                                           [--output FILE]

Two sets: the profiles were measured on the first one, every figure is measured on the second; no
image is made to choose. At each share of FLOPs: OneDiff's rule (by SSIM until the share is
reached), and at the share that it reached, a little more, the layers that cost the least together,
and layers and steps. At each share of the modelled time: OneDiff's rule in the fastest quant type,
and every quant type. The time is modelled: what each quant type saved of a step of
``synthetic:alpha`` at 1024 x 1024 on an H100 (``h100-alpha-1024.json``, the transformer alone),
divided among the layers by FLOPs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting.candidates import Candidates, candidates_of
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.repair import onediff_rule_at_share
from pixart_tui.domain.selecting.selection import Selection, choose, describe
from pixart_tui.domain.selecting.step_effects import EffectsByType
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    check_disjoint,
    joint_loss,
)
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.verification.probe import JointProbe
from pixart_tui.engine.verification.verifying import samples_of, settings_of
from pixart_tui.runs.results.profile_files import read_profile_file
from pixart_tui.runs.results.step_effects import read_step_effects

PROFILES: Final = Path("profiles/pixart-emoji")
TRAINED_LIKE: Final = "pixart-emoji"
"""Whose prompts suit every model of these profiles."""
FP8: Final = "fp8_e4m3.json"
OTHERS: Final = ("per_tensor_fp8_e4m3.json", "int8_dynamic.json")
SPEEDS: Final = Path("benchmarks/results/speed/h100-alpha-1024.json")
ROWS: Final = {
    "fp8_e4m3_e4m3_dynamic": "torch-fp8",
    "fp8_e4m3_e4m3_dynamic_per_tensor": "torch-fp8-tensor",
    "int8_dynamic": "torch-int8",
}
SHARES: Final = (0.5, 0.7, 0.8, 0.9, 0.95)
CURVE: Final = (0.25,)


@dataclass
class Bench:
    """Measures selections on held-out images, each distinct one once."""

    probe: JointProbe
    held_out: ImageSet
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measured(self, selection: Selection) -> dict[str, Any]:
        """A selection's shares, what was predicted of it, and what was measured."""
        choice = selection.choice
        whens = (choice.kept_steps.words, sorted(choice.at_every_step))
        key = json.dumps([sorted(choice.assignments.items()), *whens])
        if key not in self.known:
            start_s = time.perf_counter()
            found = joint_loss(self.probe.measure(choice, samples_of(self.held_out)))
            assert found is not None
            self.known[key] = found.model_dump() | {"elapsed_s": time.perf_counter() - start_s}
            print(
                f"{len(selection.chosen)} layers, {selection.kept_steps.words}: {found.loss:.2e}",
                flush=True,
            )
        return {
            "layers": len(selection.chosen),
            "kept_steps": selection.kept_steps.words,
            "at_every_step": len(selection.at_every_step),
            "flops_share": selection.flops_share,
            "predicted": selection.predicted_loss,
            "predicted_interval": (selection.predicted_low, selection.predicted_high),
            "verified": self.known[key],
        }


def by_flops(
    bench: Bench, candidates: Candidates, effects: EffectsByType, share: float
) -> dict[str, Any]:
    """One share of FLOPs in one quant type."""
    onediff_rule = describe(
        candidates, "flops-share", share, onediff_rule_at_share(candidates, share)
    )
    reached = onediff_rule.flops_share
    layers = choose(candidates, "flops-share", reached)
    case = SelectionProblem(
        candidates=candidates,
        rule="flops-share",
        parameter=reached,
        steps=effects.calls,
        choose_steps=True,
        effects=effects,
    )
    return {
        "share": share,
        "onediff_rule": bench.measured(onediff_rule),
        "layers": bench.measured(layers),
        "layers_and_steps": bench.measured(case.solved()),
    }


def by_time(bench: Bench, single: Candidates, case: SelectionProblem) -> dict[str, Any]:
    """One share of the time that can be saved, OneDiff's rule in the fastest type beside."""
    share = case.parameter
    onediff_rule = describe(single, "flops-share", share, onediff_rule_at_share(single, share))
    reached = onediff_rule.flops_share  # of the time too: the fastest type saves it by FLOPs
    return {
        "share": share,
        "onediff_rule": bench.measured(onediff_rule),
        "types": bench.measured(choose(case.candidates, case.rule, reached, fused=case.fused)),
        "types_and_steps": bench.measured(replace(case, parameter=reached).solved()),
    }


def modelled(profile: Profile, saved_share: float) -> Profile:
    """The profile with modelled times: seconds in arbitrary units, in proportion to FLOPs."""
    scored = tuple(
        score.replace(
            latency_s=Latency(
                unquantized=float(score.layer.flops),
                quantized=score.layer.flops * (1 - saved_share),
            )
        )
        for score in profile.scores()
    )
    return profile.replace(scored=scored)


def saved_shares() -> dict[str, float]:
    """What each quant type saves of a step on an H100, of the step's time."""
    rows = {row["label"]: row for row in json.loads(SPEEDS.read_text())["rows"]}
    seconds = {label: row["transformer_s"]["median"] for label, row in rows.items()}
    return {kind: 1 - seconds[row] / seconds["torch"] for kind, row in ROWS.items()}


def mean_ratio(rows: Sequence[dict[str, Any]], name: str) -> float:
    """The mean over the target's shares of the loss to that of OneDiff's rule."""
    ratios = [
        row[name]["verified"]["loss"] / row["onediff_rule"]["verified"]["loss"]
        for row in rows
        if row["share"] in SHARES
    ]
    return float(sum(ratios) / len(ratios))


def off_by(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """How far predictions were off, relative to what was verified; how many intervals held."""
    each = [row[name] for row in rows for name in names]
    found = sorted(abs(x["predicted"] / x["verified"]["loss"] - 1) for x in each)
    known = [x for x in each if x["predicted_interval"][0] is not None]
    held = [_holds(x["predicted_interval"], x["verified"]) for x in known]
    intervals = {"intervals_that_hold": sum(held) / len(held)} if held else {}
    return {"median": found[len(found) // 2], "worst": found[-1], **intervals}


def _holds(interval: Sequence[float], verified: dict[str, float]) -> bool:
    """Whether an interval and that of the verified loss have a loss in common."""
    return interval[0] <= verified["high"] and verified["low"] <= interval[1]


def measure(
    folder: Path, device: torch.device, images: int, by_time_too: bool
) -> Iterator[dict[str, Any]]:
    """Everything that the file holds; first without the modelled time, which takes longer."""
    paths = [folder / name for name in ((FP8, *OTHERS) if by_time_too else (FP8,))]
    profiles = [read_profile_file(path) for path in paths]
    effects = read_step_effects(paths)
    assert effects is not None
    profile, conditions = profiles[0], profiles[0].conditions
    fitting = ImageSet(prompts=conditions.prompts, seeds=conditions.seeds)
    others = [x for x in prompts_for(TRAINED_LIKE) if x not in conditions.prompts]
    held_out = ImageSet(prompts=others[:16], seeds=tuple(range(2, 2 + -(-images // 16))))
    check_disjoint({"fitting": fitting, "reporting": held_out})
    loaded = load_pipeline(conditions.model, dtype=torch.float32, device=device)
    settings = settings_of(conditions, loaded, held_out)
    replicas = 2 if device.type == "cpu" else 1
    probe = JointProbe(
        loaded.pipeline, settings, Execution.SIMULATED, replicas=replicas, check=lambda: None
    )
    single = candidates_of([profile])
    bench = Bench(probe, held_out)
    rows = [by_flops(bench, single, effects, s) for s in sorted((*SHARES, *CURVE))]
    result: dict[str, Any] = {
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "model": conditions.model,
        "execution": conditions.execution,
        "fitting": fitting.model_dump(),
        "held_out": held_out.model_dump(),
        "by_flops": rows,
        "mean_ratio_to_onediff_rule": {
            name: mean_ratio(rows, name) for name in ("layers", "layers_and_steps")
        },
        "predicted_off_by": {
            "layers": off_by(rows, ("onediff_rule", "layers")),
            "layers_and_steps": off_by(rows, ("layers_and_steps",)),
        },
    }
    yield result
    if by_time_too:
        yield result | _times(bench, profiles, single, effects)


def _times(
    bench: Bench, profiles: Sequence[Profile], single: Candidates, effects: EffectsByType
) -> dict[str, Any]:
    saved = saved_shares()
    candidates = candidates_of([modelled(p, saved[p.conditions.quant_type]) for p in profiles])
    case = SelectionProblem(
        candidates=candidates,
        rule="saved-share",
        parameter=0,
        fused=True,
        steps=effects.calls,
        choose_steps=True,
        effects=effects,
    )
    cases = [replace(case, parameter=share) for share in SHARES]
    rows = [by_time(bench, single, one) for one in cases]
    names = ("types", "types_and_steps")
    return {
        "modelled_saving_of_a_step": saved,
        "by_modelled_time": rows,
        "mean_ratio_by_modelled_time": {name: mean_ratio(rows, name) for name in names},
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--profiles", type=Path, default=PROFILES, help="with the types' files")
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--no-time", action="store_true", help="leave the modelled time out")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/selection/selection-quality.json")
    )
    arguments = parser.parse_args()
    command = "python -m benchmarks.selection_quality " + " ".join(sys.argv[1:])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    asked = (arguments.profiles, arguments.device, arguments.images)
    for result in measure(*asked, not arguments.no_time):
        whole = result | {"date": date, "command": command.strip()}
        arguments.output.write_text(json.dumps(whole, indent=1) + "\n")
        print(json.dumps(result["mean_ratio_to_onediff_rule"]), f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
