"""Selections against the seed's rule, measured on prompts and seeds that made none of them.

    python -m benchmarks.selection_quality [--images 32] [--profiles FOLDER] [--device cuda]
                                           [--output FILE]

Three sets: the profiles were measured on the first one; what keeping the last steps does, and how
far the sum is off, is learned on the second; every figure is measured on the third. At each share
of FLOPs: the seed's rule (by SSIM until the share is reached), and at the share that it reached, a
little more, the layers that cost the least together, and layers and steps. At each share of the
modelled time: the seed's rule in the fastest quant type, and every quant type. The time is
modelled: what each quant type saved of a step of ``synthetic:alpha`` at 1024 x 1024 on an H100
(``h100-alpha-1024.json``, the transformer alone), divided among the layers by FLOPs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui.domain.latency import Latency
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.selecting.menu import Menu, menu_of
from pixart_tui.domain.selecting.repair import Case, StepChoice, seed_rule_at_share
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    check_disjoint,
    joint_loss,
)
from pixart_tui.domain.selection import Selection, choose, describe
from pixart_tui.engine.joint.probe import Joint, JointProbe
from pixart_tui.engine.joint.verifying import everything, samples_of, settings_of
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.runs.profile_files import read_profile_file

PROFILES: Final = Path("profiles/pixart-emoji")
TRAINED_LIKE: Final = "pixart-emoji"
"""Whose prompts suit every model of these profiles."""
FP8: Final = "fp8_e4m3.json"
OTHERS: Final = ("per_tensor_fp8_e4m3.json", "int8_dynamic.json")
SPEEDS: Final = Path("benchmarks/results/h100-alpha-1024.json")
ROWS: Final = {
    "fp8_e4m3_e4m3_dynamic": "torch-fp8",
    "fp8_e4m3_e4m3_dynamic_per_tensor": "torch-fp8-tensor",
    "int8_dynamic": "torch-int8",
}
SHARES: Final = (0.5, 0.7, 0.8, 0.9, 0.95)
CURVE: Final = (0.25,)
KEPT: Final = (1, 2, 3, 5)
_MIDDLE: Final = 0.8


@dataclass
class Bench:
    """Measures selections on held-out images, each distinct one once."""

    probe: JointProbe
    held_out: ImageSet
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measured(self, selection: Selection) -> dict[str, Any]:
        """A selection's shares, what was predicted of it, and what was measured."""
        key = json.dumps([sorted(selection.assignments.items()), selection.kept_steps.words])
        if key not in self.known:
            joint = Joint(selection.assignments, selection.kept_steps)
            start_s = time.perf_counter()
            found = joint_loss(self.probe.measure(joint, samples_of(self.held_out)))
            assert found is not None
            self.known[key] = found.model_dump() | {"elapsed_s": time.perf_counter() - start_s}
            print(
                f"{len(selection.chosen)} layers, {selection.kept_steps.words}: {found.loss:.2e}",
                flush=True,
            )
        return {
            "layers": len(selection.chosen),
            "kept_steps": selection.kept_steps.model_dump(),
            "flops_share": selection.flops_share,
            "predicted": selection.predicted_loss,
            "verified": self.known[key],
        }


def step_choices(
    probe: JointProbe, menu: Menu, repairing: ImageSet
) -> tuple[tuple[StepChoice, ...], float]:
    """What is left of the loss when the last steps are kept, and how far the sum is off.

    Both on the repair set, the second from one selection in the middle of the range.
    """
    whole, losses = everything(menu).assignments, {}
    for kept in (NO_STEPS, *(KeptSteps(last=count) for count in KEPT)):
        found = joint_loss(probe.measure(Joint(whole, kept), samples_of(repairing)))
        assert found is not None
        losses[kept] = found.loss
        print(f"{kept.words} kept: {found.loss:.2e}", flush=True)
    every = losses[NO_STEPS]
    choices = (StepChoice(kept=k, factor=min(x / every, 1)) for k, x in losses.items())
    middle = choose(menu, "flops-share", _MIDDLE)
    found = joint_loss(probe.measure(Joint(middle.assignments), samples_of(repairing)))
    assert found is not None
    return tuple(choices), found.loss / middle.predicted_loss


def by_flops(
    bench: Bench, menu: Menu, choices: Sequence[StepChoice], steps: int, share: float
) -> dict[str, Any]:
    """One share of FLOPs in one quant type."""
    seed_rule = describe(menu, "flops-share", share, seed_rule_at_share(menu, share))
    reached = seed_rule.flops_share
    layers = choose(menu, "flops-share", reached)
    case = Case(
        menu=menu,
        rule="flops-share",
        parameter=reached,
        steps=steps,
        step_choices=tuple(choices),
    )
    return {
        "share": share,
        "seed_rule": bench.measured(seed_rule),
        "layers": bench.measured(layers),
        "layers_and_steps": bench.measured(case.solved()),
    }


def by_time(bench: Bench, single: Menu, case: Case) -> dict[str, Any]:
    """One share of the time that can be saved, the seed's rule in the fastest type beside."""
    share = case.parameter
    seed_rule = describe(single, "flops-share", share, seed_rule_at_share(single, share))
    reached = seed_rule.flops_share  # of the time too: the fastest type saves it by FLOPs
    return {
        "share": share,
        "seed_rule": bench.measured(seed_rule),
        "types": bench.measured(choose(case.menu, case.rule, reached, fused=case.fused)),
        "types_and_steps": bench.measured(case.model_copy(update={"parameter": reached}).solved()),
    }


def modelled(profile: Profile, saved_share: float) -> Profile:
    """The profile with modelled times: seconds in arbitrary units, in proportion to FLOPs."""
    return profile.model_copy(
        update={
            "latencies": {
                layer.fqn: Latency(
                    unquantized=float(layer.flops), quantized=layer.flops * (1 - saved_share)
                )
                for layer in profile.layers
            }
        }
    )


def saved_shares() -> dict[str, float]:
    """What each quant type saves of a step on an H100, of the step's time."""
    rows = {row["label"]: row for row in json.loads(SPEEDS.read_text())["rows"]}
    seconds = {label: row["transformer_s"]["median"] for label, row in rows.items()}
    return {kind: 1 - seconds[row] / seconds["torch"] for kind, row in ROWS.items()}


def mean_ratio(rows: Sequence[dict[str, Any]], name: str) -> float:
    """The mean over the target's shares of the loss to that of the seed's rule."""
    ratios = [
        row[name]["verified"]["loss"] / row["seed_rule"]["verified"]["loss"]
        for row in rows
        if row["share"] in SHARES
    ]
    return float(sum(ratios) / len(ratios))


def off_by(rows: Sequence[dict[str, Any]], names: Sequence[str], scale: float) -> dict[str, float]:
    """How far scaled predictions were off, relative to what was verified: median and worst."""
    found = sorted(
        abs(scale * row[name]["predicted"] / row[name]["verified"]["loss"] - 1)
        for row in rows
        for name in names
    )
    return {"median": found[len(found) // 2], "worst": found[-1]}


def measure(
    folder: Path, device: torch.device, images: int, by_time_too: bool
) -> Iterator[dict[str, Any]]:
    """Everything that the file holds; first without the modelled time, which takes longer."""
    profile = read_profile_file(folder / FP8)
    profiles = [profile, *(read_profile_file(folder / name) for name in OTHERS)]
    conditions = profile.conditions
    prompts = prompts_for(TRAINED_LIKE)
    fitting = ImageSet(prompts=conditions.prompts, seeds=conditions.seeds)
    repairing = ImageSet(prompts=prompts[4:20], seeds=(1,))
    held_out = ImageSet(prompts=prompts[20:36], seeds=tuple(range(2, 2 + -(-images // 16))))
    check_disjoint({"fitting": fitting, "repairing": repairing, "reporting": held_out})
    loaded = load_pipeline(conditions.model, dtype=torch.float32, device=device)
    settings = settings_of(conditions, loaded, repairing, held_out)
    lanes = 2 if device.type == "cpu" else 1
    probe = JointProbe(
        loaded.pipeline, settings, Execution.SIMULATED, lanes=lanes, check=lambda: None
    )
    start_s = time.perf_counter()
    single, steps = menu_of([profile]), conditions.num_inference_steps
    choices, scale = step_choices(probe, single, repairing)
    searching_s = time.perf_counter() - start_s
    bench = Bench(probe, held_out)
    rows = [by_flops(bench, single, choices, steps, s) for s in sorted((*SHARES, *CURVE))]
    result: dict[str, Any] = {
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "model": conditions.model,
        "execution": conditions.execution,
        "fitting": fitting.model_dump(),
        "repairing": repairing.model_dump(),
        "held_out": held_out.model_dump(),
        "search": {
            "seconds": searching_s,
            "images": (2 + len(KEPT)) * repairing.images,
            "scale": scale,
            "step_choices": [choice.model_dump() for choice in choices],
        },
        "by_flops": rows,
        "mean_ratio_to_seed_rule": {
            name: mean_ratio(rows, name) for name in ("layers", "layers_and_steps")
        },
        "predicted_off_by": {
            "layers": off_by(rows, ("seed_rule", "layers"), scale),
            "layers_and_steps": off_by(rows, ("layers_and_steps",), scale),
            "layers_unscaled": off_by(rows, ("seed_rule", "layers"), 1.0),
        },
    }
    yield result
    if by_time_too:
        yield result | _times(bench, profiles, single, choices, steps)


def _times(
    bench: Bench, profiles: Sequence[Profile], single: Menu, choices: Sequence[StepChoice], n: int
) -> dict[str, Any]:
    saved = saved_shares()
    menu = menu_of([modelled(p, saved[p.conditions.quant_type]) for p in profiles])
    case = Case(
        menu=menu,
        rule="saved-share",
        parameter=0,
        fused=True,
        steps=n,
        step_choices=tuple(choices),
    )
    cases = [case.model_copy(update={"parameter": share}) for share in SHARES]
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
    parser.add_argument("--profiles", type=Path, default=PROFILES, help="the three types' files")
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--no-time", action="store_true", help="leave the modelled time out")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/selection-quality.json")
    )
    arguments = parser.parse_args()
    command = "python -m benchmarks.selection_quality " + " ".join(sys.argv[1:])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    asked = (arguments.profiles, arguments.device, arguments.images)
    for result in measure(*asked, not arguments.no_time):
        whole = result | {"date": date, "command": command.strip()}
        arguments.output.write_text(json.dumps(whole, indent=1) + "\n")
        print(json.dumps(result["mean_ratio_to_seed_rule"]), f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
