"""Does a profile carry over? Profiled under one setting, checked under others.

    python -m benchmarks.carry_over [--prompts 2] [--images 8] [--output FILE]

For each other setting (seed and prompts, guidance, steps): how far the ranks of a profile made
there agree with those of the one that is checked, and the joint loss there, on prompts and seeds
that made neither, of the selection from the checked profile and of the one from the profile made
there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from scipy.stats import spearmanr

from pixart_tui.domain.events import LayerMeasured, ProfilePlanned
from pixart_tui.domain.profiles.profile import Profile, merge_measurements
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.repair import onediff_rule_at_share
from pixart_tui.domain.selecting.selection import Selection, choose, describe
from pixart_tui.domain.selecting.verification import ImageSet, check_disjoint, joint_loss
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity import profile_model
from pixart_tui.engine.verification.probe import JointProbe
from pixart_tui.engine.verification.verifying import samples_of, settings_of
from pixart_tui.runs.results.profile_files import read_profile_file

CHECKED: Final = Path("profiles/pixart-emoji/fp8_e4m3.json")
SHARE: Final = 0.8
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "other prompts and seed": {},
    "guidance 3.0": {"guidance_scale": 3.0},
    "10 steps": {"num_inference_steps": 10},
}
_SEED: Final = 11


def profiled_there(checked: Profile, changes: dict[str, Any], prompts: tuple[str, ...]) -> Profile:
    """A profile of the same model and quant type under another setting."""
    conditions = checked.conditions
    request = ProfileRequest(
        model=conditions.model,
        quant_type=conditions.quant_type,
        prompts=prompts,
        seeds=(_SEED,),
        threads=2,
        output="unused.json",
        **changes,
    )
    events = list(profile_model(request, floor_known=True))
    (plan,) = [event for event in events if isinstance(event, ProfilePlanned)]
    measured = [event for event in events if isinstance(event, LayerMeasured)]
    return Profile(
        conditions=plan.conditions,
        layers=plan.layers,
        excluded=plan.excluded,
        measurements=merge_measurements(event.measurements for event in measured),
    )


def agreement(one: Profile, other: Profile) -> float:
    """Spearman's rank correlation of the layers' losses."""
    losses = [{s.layer.fqn: s.loss for s in p.scores() if s.loss is not None} for p in (one, other)]
    shared = [fqn for fqn in losses[0] if fqn in losses[1]]
    first, second = ([found[fqn] for fqn in shared] for found in losses)
    return float(spearmanr(first, second).statistic)


def verified(there: Profile, selections: dict[str, Selection], images: ImageSet) -> dict[str, Any]:
    """Each selection's joint loss under a profile's setting."""
    conditions = there.conditions
    loaded = load_pipeline(conditions.model, dtype=torch.float32, device=torch.device("cpu"))
    settings = settings_of(conditions, loaded, images)
    probe = JointProbe(
        loaded.pipeline, settings, Execution.SIMULATED, replicas=2, check=lambda: None
    )
    found = {}
    for name, selection in selections.items():
        loss = joint_loss(probe.measure(selection.choice, samples_of(images)))
        assert loss is not None
        found[name] = loss.model_dump()
    return found


def check(name: str, checked: Profile, prompts: int, images: int) -> dict[str, Any]:
    """One setting: its row in the table."""
    start_s = time.perf_counter()
    all_prompts = prompts_for(checked.conditions.model)
    there = profiled_there(checked, SETTINGS[name], all_prompts[36 : 36 + prompts])
    held_out = ImageSet(prompts=all_prompts[44 : 44 + images], seeds=(12,))
    sets = {"there": there.conditions, "checked": checked.conditions}
    fitted = {k: ImageSet(prompts=c.prompts, seeds=c.seeds) for k, c in sets.items()}
    check_disjoint(fitted | {"reporting": held_out})
    candidates = candidates_of([checked])
    selections = {
        "checked": choose(candidates, "flops-share", SHARE),
        "made_there": choose(candidates_of([there]), "flops-share", SHARE),
        "onediff_rule": describe(
            candidates, "flops-share", SHARE, onediff_rule_at_share(candidates, SHARE)
        ),
    }
    row = {
        "setting": name,
        "changes": SETTINGS[name],
        "profiled_there_on": fitted["there"].model_dump(),
        "held_out": held_out.model_dump(),
        "rank_agreement": agreement(checked, there),
        "same_layers": len(
            set(selections["checked"].chosen) & set(selections["made_there"].chosen)
        ),
        "layers": len(selections["checked"].chosen),
        "verified": verified(there, selections, held_out),
        "seconds": time.perf_counter() - start_s,
    }
    print(_line(row), flush=True)
    return row


def _line(row: dict[str, Any]) -> str:
    losses = {name: found["loss"] for name, found in row["verified"].items()}
    told = ", ".join(f"{name} {loss:.2e}" for name, loss in losses.items())
    return f"{row['setting']}: Spearman {row['rank_agreement']:.3f}; 1-SSIM {told}"


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=2, help="prompts of each profile made")
    parser.add_argument("--images", type=int, default=8, help="held-out images")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/method/carry-over.json")
    )
    arguments = parser.parse_args()
    checked = read_profile_file(CHECKED)
    result = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ("python -m benchmarks.carry_over " + " ".join(sys.argv[1:])).strip(),
        "checked": checked.conditions.model_dump(),
        "flops_share": SHARE,
        "rows": [check(name, checked, arguments.prompts, arguments.images) for name in SETTINGS],
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
