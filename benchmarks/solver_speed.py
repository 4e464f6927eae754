"""How long a selection takes to solve again: 290 layers, three quant types, made-up losses.

With steps to choose: these and 28 attention modules, four quant types, made-up effects of 20 calls.
The first time works out what all later ones share, as in the dashboard while a key is held down.

python -m benchmarks.solver_speed [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pixart_tui.domain.selecting.candidates import Candidate, Candidates, Target
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import choose
from pixart_tui.domain.selecting.step_effects import EffectsByType, StepEffects
from pixart_tui.engine.machine import describe_machine, describe_versions

_TYPES: Final = {"fp8": (1.0, 0.13), "fp8 per tensor": (1.1, 0.05), "int8": (0.2, 0.04)}
_KINDS: Final = {
    **dict.fromkeys(("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"), 1.0),
    **dict.fromkeys(("attn2.to_q", "attn2.to_out.0"), 1.0),
    **dict.fromkeys(("attn2.to_k", "attn2.to_v"), 0.03),
    **dict.fromkeys(("ff.net.0.proj", "ff.net.2"), 4.0),
}
"""Layers of a block and their FLOPs, relative; losses and savings above are relative too."""

_TYPES_OF_STEPS: Final = {**_TYPES, "fp4": (9.0, 0.2)}
_SAMPLES: Final = 16
_DRAWS: Final = 8
_CALLS: Final = 20
_ASKED: Final[tuple[tuple[Rule, tuple[float, ...]], ...]] = (
    ("max-loss", (1e-4, 3e-4, 1e-3, 2e-3, 5e-3)),
    ("flops-share", (0.5, 0.7, 0.8, 0.9, 0.95)),
    ("saved-share", (0.3, 0.5, 0.7, 0.8, 0.9)),
)


def candidates(seed: int) -> Candidates:
    """28 blocks of ten layers and ten others; losses over three decades, at random."""
    generator = np.random.default_rng(seed)
    flops = {f"transformer_blocks.{i}.{k}": f for i in range(28) for k, f in _KINDS.items()}
    flops |= {f"other.{i}": 0.01 for i in range(10)}
    targets, options = [], []
    for name, share in flops.items():
        time_s = 1e-5 * share
        targets.append(Target(name=name, flops=int(1e9 * share), unquantized_s=time_s))
        base = 10 ** generator.uniform(-6.5, -3.7)
        for kind, (loss, saved) in _TYPES.items():
            ssim = 1 - loss * base * float(generator.uniform(0.7, 1.4))
            saved_s = saved * time_s
            option = Candidate(
                target=name, quant_type=kind, ssim=ssim, saved_s=saved_s, speeds_up=True
            )
            options.append(option)
    return Candidates(targets=tuple(targets), options=tuple(options), quant_types=tuple(_TYPES))


def measure(fused: bool) -> dict[str, Any]:
    """Times of one solve, over budgets and candidates_by_steps."""
    import scipy.optimize  # noqa: F401 - half a second, once

    found: list[_Spent] = []
    for seed in range(5):
        made = candidates(seed)
        for budget in (1e-4, 3e-4, 1e-3, 2e-3, 5e-3):
            start = _Spent.now()
            choose(made, "max-loss", budget, fused=fused)
            found.append(_Spent.now().since(start))
    return _summary(found)


def case_of_steps(seed: int) -> SelectionProblem:
    """Layers and attention modules with effects that add up to their losses."""
    generator = np.random.default_rng(seed)
    flops = {f"transformer_blocks.{i}.{k}": f for i in range(28) for k, f in _KINDS.items()}
    flops |= {f"other.{i}": 0.01 for i in range(10)}
    flops |= {f"transformer_blocks.{i}.attn1": 1.5 for i in range(28)}
    base = 10 ** generator.uniform(-6.5, -3.7, len(flops))
    by_step = np.exp(np.linspace(0, 2, _CALLS) + generator.normal(size=_CALLS))
    by_type = {
        kind: _effects(tuple(flops), kind, loss * base, by_step, generator)
        for kind, (loss, _) in _TYPES_OF_STEPS.items()
    }
    losses = {kind: (x.weights * x.whole).mean(axis=0) for kind, x in by_type.items()}
    options = tuple(
        Candidate(
            target=name,
            quant_type=kind,
            ssim=1 - float(losses[kind][place]),
            saved_s=saved * 1e-5 * share,
            speeds_up=True,
        )
        for place, (name, share) in enumerate(flops.items())
        for kind, (_, saved) in _TYPES_OF_STEPS.items()
    )
    targets = tuple(
        Target(name=name, flops=int(1e9 * share), unquantized_s=1e-5 * share)
        for name, share in flops.items()
    )
    return SelectionProblem(
        candidates=Candidates(targets=targets, options=options, quant_types=tuple(_TYPES_OF_STEPS)),
        rule="max-loss",
        parameter=1e-3,
        steps=_CALLS,
        choose_steps=True,
        effects=EffectsByType(by_type),
    )


def _effects(
    targets: tuple[str, ...],
    kind: str,
    losses: npt.NDArray[np.float64],
    by_step: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> StepEffects:
    parts = by_step * np.exp(generator.normal(0, 0.7, (len(targets), _CALLS)))
    scale = np.sqrt(losses[:, None] * parts / parts.sum(axis=1, keepdims=True))
    effects = generator.normal(size=(_SAMPLES, _DRAWS, len(targets), _CALLS)) * scale
    effects *= np.exp(generator.normal(0, 0.2, (_SAMPLES, 1, 1, 1)))
    return StepEffects(
        quant_type=kind,
        targets=targets,
        effects=effects,
        first_calls=np.zeros((_SAMPLES, _DRAWS)),
        saturations=(math.inf,) * _SAMPLES,
        prompts=tuple(f"prompt {i // 4}" for i in range(_SAMPLES)),
    )


def measure_steps() -> dict[str, Any]:
    """Times of the first solve by each rule, and of the others."""
    import scipy.optimize  # noqa: F401 - half a second, once

    first: list[_Spent] = []
    again: list[_Spent] = []
    for seed in range(3):
        made = case_of_steps(seed)
        for rule, parameters in _ASKED:
            for place, parameter in enumerate(parameters):
                start = _Spent.now()
                made.asking(rule, parameter).solved()
                (again if place else first).append(_Spent.now().since(start))
    return {"first": _summary(first), "again": _summary(again)}


class _Spent(NamedTuple):
    """Milliseconds on the clock, and of the processor: cores that are shared make a difference."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> _Spent:
        return cls(1000 * time.perf_counter(), 1000 * time.process_time())

    def since(self, start: _Spent) -> _Spent:
        return _Spent(self.wall - start.wall, self.cpu - start.cpu)


def _summary(found: list[_Spent]) -> dict[str, Any]:
    wall, cpu = [x.wall for x in found], [x.cpu for x in found]
    return {
        "median": statistics.median(wall),
        "max": max(wall),
        "cpu_median": statistics.median(cpu),
        "cpu_max": max(cpu),
        "n": len(found),
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/selection/solver-speed.json")
    )
    arguments = parser.parse_args()
    result = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.solver_speed",
        "targets": 290,
        "quant_types": 3,
        "solve_ms": measure(fused=False),
        "solve_fused_ms": measure(fused=True),
        "with_steps": {
            "targets": 318,
            "quant_types": len(_TYPES_OF_STEPS),
            "calls": _CALLS,
            "solve_ms": measure_steps(),
        },
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(result["solve_ms"], result["solve_fused_ms"], result["with_steps"])


if __name__ == "__main__":
    main()
