"""A profile of the adjoint method against brute force: ranks, intervals, seconds.

    pixart-tui profile --output ADJOINT.json --all-samples
    pixart-tui profile --output REFERENCE.json --method exhaustive
    python -m benchmarks.profile_accuracy ADJOINT.json REFERENCE.json [--output FILE.json]

The sidecars beside the two are read. The reference may hold more prompts and seeds: *these images*
are those that both have, *other prompts* those that only the reference has.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import Reference, on_other_prompts, on_the_same_images, spearman
from benchmarks.profile_agreement import read
from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.files.sidecar import ProfileSidecar


def evaluate(made: ProfileSidecar, reference: ProfileSidecar) -> dict[str, Any]:
    """Every figure of the comparison.

    Raises:
        RequestError: The two are not an adjoint profile and brute force of the same model.
    """
    one, other = made.conditions, reference.conditions
    alike = (one.model_fingerprint, one.quant_type) == (other.model_fingerprint, other.quant_type)
    if not made.samples or not reference.measurements or not alike:
        raise RequestError(
            "these are not an adjoint profile and brute force of the same model",
            cause=f"{one.method}, {one.quant_type} and {other.method}, {other.quant_type}",
            next_step="name the adjoint profile first",
        )
    measured = [s for s in made.layers if s.loss is not None]
    whole = reference_of(reference)
    mine = {(sample.prompt, sample.seed) for sample in made.samples}
    common = whole.of(lambda key: key in mine)
    others = whole.of(lambda key: key[0] not in {prompt for prompt, _ in mine})
    by_layer = {s.layer.fqn: s.loss for s in measured}
    losses = np.array([by_layer[fqn] for fqn in whole.reference.fqns], dtype=np.float64)
    found: dict[str, Any] = {
        "layers": len(measured),
        "samples": len(made.samples),
        "draws": one.draws,
        "measuring_s": made.measuring_s,
        "whole_run_s": made.elapsed_s,
        "brute_force_measuring_s": reference.measuring_s,
        "brute_force_samples": whole.count,
        "spearman_with_all_of_brute_force": spearman(losses, whole.reference.means),
        "nonlinear": [sample.nonlinear for sample in made.samples],
    }
    if common.count:
        found["these_images"] = on_the_same_images(measured, common.reference)
    if others.count > 1:
        found["other_prompts"] = on_other_prompts(measured, others.reference) | {
            "brute_force_spearman": spearman(common.reference.means, others.reference.means)
        }
    return found


class Samples:
    """Brute force by sample.

    Args:
        fqns: The layers.
        losses: Prompt and seed to the loss of each layer.
    """

    def __init__(self, fqns: tuple[str, ...], losses: dict[tuple[str, int], list[float]]) -> None:
        self._fqns, self._losses = fqns, losses

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self._losses)

    @property
    def reference(self) -> Reference:
        """As arrays."""
        prompts = tuple(prompt for prompt, _ in self._losses)
        return Reference(self._fqns, prompts, np.array(list(self._losses.values())).T)

    def of(self, wanted: Any) -> Samples:
        """The samples whose prompt and seed are wanted."""
        chosen = {key: losses for key, losses in self._losses.items() if wanted(key)}
        return Samples(self._fqns, chosen)


def reference_of(record: ProfileSidecar) -> Samples:
    """Brute force that a sidecar holds."""
    fqns = tuple(dict.fromkeys(m.layer for m in record.measurements))
    known = {(m.layer, m.prompt, m.seed): m.loss for m in record.measurements}
    keys = dict.fromkeys((m.prompt, m.seed) for m in record.measurements)
    losses = {
        (prompt, seed): [known[fqn, prompt, seed] or 0.0 for fqn in fqns] for prompt, seed in keys
    }
    return Samples(fqns, losses)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates, prints and writes; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("made", type=Path, metavar="ADJOINT.json")
    parser.add_argument("reference", type=Path, metavar="REFERENCE.json")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(words)
    try:
        made, reference = read(options.made), read(options.reference)
        found = evaluate(made, reference)
    except PixartTuiError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    result = found | {
        "conditions": made.conditions.model_dump(exclude={"prompts"}),
        "machine": made.machine.model_dump(),
        "versions": made.versions,
        "brute_force_machine": reference.machine.model_dump(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.profile_accuracy", *words]),
    }
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
