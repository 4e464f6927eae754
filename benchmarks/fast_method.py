"""How well the fast method does what the exhaustive one does: accuracy, intervals and cost.

    pixart-tui profile --prompts-file PROMPTS --seeds 2 --output FAST.json
    pixart-tui profile --prompts-file PROMPTS --seeds 2 --output REFERENCE.json --method exhaustive
    python -m benchmarks.fast_method FAST.json REFERENCE.json [--output FILE.json]

The sidecars beside the two are read. The reference's own split-half agreement says how far ranks of
other prompts and seeds agree with each other; and since fewer images would be cheaper too, the
exhaustive method on as many samples as the fast method's cost pays for stands beside it. Those
samples are part of the reference, which favours it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.profile_agreement import read
from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.profile import LayerScore
from pixart_tui.domain.sidecar import ProfileSidecar

Floats: TypeAlias = npt.NDArray[np.float64]

_SPLITS: Final = 200


def evaluate(fast: ProfileSidecar, reference: ProfileSidecar) -> dict[str, object]:
    """Every figure of the comparison.

    Raises:
        RequestError: The fast profile does not say what it cost, or the models differ.
    """
    _check(fast, reference)
    scores = {s.layer.fqn: s for s in fast.profile.scores() if s.ssim is not None}
    losses, fqns = _losses(reference)
    common = [i for i, fqn in enumerate(fqns) if fqn in scores]
    found = [scores[fqns[i]] for i in common]
    losses = losses[common]
    return {
        "layers": len(common),
        "reference_samples": losses.shape[1],
        "fast_samples": len(fast.conditions.prompts) * len(fast.conditions.seeds),
        "accuracy": _accuracy(found, losses),
        "reference_split_half_spearman": _split_half(losses),
        "cost": _cost(fast) | {"whole_reference_run_s": reference.elapsed_s},
        "exhaustive_at_the_same_cost": _fewer_samples(fast, losses),
        "ties": _ties(found),
        "stability": fast.stability.model_dump() if fast.stability else None,
    }


def _check(fast: ProfileSidecar, reference: ProfileSidecar) -> None:
    if fast.cost is None or fast.probing is None:
        raise RequestError("the first profile is not of the fast method", "", "swap the two")
    one, other = fast.conditions, reference.conditions
    same = (one.model_fingerprint, one.quant_type) == (other.model_fingerprint, other.quant_type)
    if not same:
        raise RequestError("the two profiles are of different models or quant types", "", "")


def _losses(reference: ProfileSidecar) -> tuple[Floats, list[str]]:
    """1 - SSIM of the reference, (layers, samples), and the layers' names."""
    by_layer: dict[str, dict[tuple[str, int], float]] = {}
    for m in reference.measurements:
        if m.loss is not None:
            by_layer.setdefault(m.layer, {})[m.prompt, m.seed] = m.loss
    samples = sorted(next(iter(by_layer.values())))
    rows = [[found[sample] for sample in samples] for found in by_layer.values()]
    return np.array(rows), list(by_layer)


def _accuracy(found: Sequence[LayerScore], losses: Floats) -> dict[str, object]:
    mean = losses.mean(axis=1)
    fast = np.array([score.loss for score in found], dtype=np.float64)
    low = np.array([1 - (s.ssim_high or 0) for s in found])
    high = np.array([1 - (s.ssim_low or 0) for s in found])
    held = (low <= mean) & (mean <= high)
    estimated = np.array([s.estimated for s in found])
    logs = np.log(fast / mean)
    worst = int(np.abs(logs).argmax())
    return {
        "spearman": _spearman(fast, mean),
        "estimated_layers": int(estimated.sum()),
        "intervals_that_hold_the_reference": float(held.mean()),
        "of_estimated_layers": float(held[estimated].mean()) if estimated.any() else None,
        "median_ratio_to_reference": float(np.exp(np.median(logs))),
        "log_deviation": float(logs.std()),
        "worst_ratio": float(np.exp(logs[worst])),
        "worst_layer": found[worst].layer.fqn,
        "same_layers_left_out_by_top_90_percent": _same_cut(fast, mean),
    }


def _same_cut(fast: Floats, mean: Floats) -> float:
    """Of the layers that the top 90 percent leave out, the part that both leave out."""
    kept = len(mean) - int(len(mean) * 0.9)
    one, other = (set(np.argsort(-x, kind="stable")[:kept].tolist()) for x in (fast, mean))
    return len(one & other) / kept


def _split_half(losses: Floats) -> dict[str, float]:
    """Rank agreement of the means over two halves of the samples, over random halves."""
    rng, count = np.random.default_rng(0), losses.shape[1]
    found = []
    for _ in range(_SPLITS):
        order = rng.permutation(count)
        one, other = order[: count // 2], order[count // 2 :]
        found.append(_spearman(losses[:, one].mean(axis=1), losses[:, other].mean(axis=1)))
    return {"mean": float(np.mean(found)), "min": float(np.min(found))}


def _cost(fast: ProfileSidecar) -> dict[str, float | None]:
    cost = fast.cost
    assert cost is not None
    return {
        "forwards": cost.forwards,
        "exhaustive_forwards": cost.exhaustive_forwards,
        "times_fewer_forwards": 1 / cost.share,
        "layers_s": cost.elapsed_s,
        "exhaustive_layers_s_at_the_pace_of_these_images": cost.exhaustive_s,
        "whole_run_s": fast.elapsed_s,
    }


def _fewer_samples(fast: ProfileSidecar, losses: Floats) -> dict[str, float]:
    """The exhaustive method on as many samples as the same transformer calls pay for."""
    assert fast.cost is not None
    samples = len(fast.conditions.prompts) * len(fast.conditions.seeds)
    count = max(1, round(fast.cost.share * samples))
    rng, mean = np.random.default_rng(0), losses.mean(axis=1)
    picks = [rng.choice(losses.shape[1], count, replace=False) for _ in range(_SPLITS)]
    found = [_spearman(losses[:, pick].mean(axis=1), mean) for pick in picks]
    return {"samples": count, "mean_spearman": float(np.mean(found)), "min": float(np.min(found))}


def _ties(found: Sequence[LayerScore]) -> dict[str, int]:
    return {
        "layers_tied": sum(score.tied for score in found),
        "groups": len({score.tied_from for score in found}),
    }


def _spearman(one: Floats, other: Floats) -> float:
    return float(spearmanr(one, other).statistic)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates, prints and writes; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("fast", type=Path, metavar="FAST.json")
    parser.add_argument("reference", type=Path, metavar="REFERENCE.json")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/fast-method.json"))
    options = parser.parse_args(words)
    try:
        fast, reference = read(options.fast), read(options.reference)
        found = evaluate(fast, reference)
    except PixartTuiError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    machines = {"fast": fast.machine.model_dump(), "reference": reference.machine.model_dump()}
    result = found | {
        "conditions": fast.conditions.model_dump(exclude={"prompts"}),
        "machines": machines,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.fast_method", *words]),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
