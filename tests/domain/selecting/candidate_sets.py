"""Candidates made up for tests, and every choice that they allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from hypothesis import strategies as st

from pixart_tui.domain.layers.roles import fused_group, reads_text
from pixart_tui.domain.selecting.candidates import Candidate, Candidates, Target

TYPES = ("fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor", "int8_dynamic")
NAMES = (
    "transformer_blocks.0.attn1.to_q",
    "transformer_blocks.0.attn1.to_k",
    "transformer_blocks.0.attn1.to_v",
    "transformer_blocks.0.attn2.to_k",
    "transformer_blocks.1.attn2.to_k",
    "transformer_blocks.1.ff.net.2",
)


@st.composite
def candidates_by_steps(draw: st.DrawFn, most_targets: int = 6, most_types: int = 2) -> Candidates:
    names = NAMES[-draw(st.integers(1, most_targets)) :]
    types = TYPES[: draw(st.integers(1, most_types))]
    times = st.floats(1e-6, 1e-3)
    targets = [
        Target(name=name, flops=draw(st.integers(1, 64)), unquantized_s=draw(times))
        for name in names
    ]
    options = [
        Candidate(
            target=target.name,
            quant_type=quant_type,
            ssim=1 - draw(st.floats(0, 0.05)),
            saved_s=(target.unquantized_s or 0) * draw(st.floats(-0.5, 0.7)),
            speeds_up=True,
        )
        for target in targets
        for quant_type in types
        if draw(st.integers(0, 9)) or target is targets[0]
    ]
    options = [o.replace(speeds_up=(o.saved_s or 0) > 0) for o in options]
    return Candidates(targets=tuple(targets), options=tuple(options), quant_types=types)


def mixed_groups(assignments: Mapping[str, str]) -> list[str]:
    """The groups that read the same rows and in which several quant types meet."""
    found: dict[str, set[str]] = {}
    for target, quant_type in assignments.items():
        group = "attn2 (text)" if reads_text(target) else fused_group(target)
        if group is not None:
            found.setdefault(group, set()).add(quant_type)
    return [group for group, quant_types in found.items() if len(quant_types) > 1]


def every_choice(candidates: Candidates, *, fused: bool) -> Iterator[tuple[Candidate, ...]]:
    """All of them, by plain enumeration."""
    by_target = [
        [None, *(o for o in candidates.options if o.target == target.name)]
        for target in candidates.targets
    ]
    for picks in product(*by_target):
        chosen = tuple(option for option in picks if option is not None)
        if fused and mixed_groups({o.target: o.quant_type for o in chosen}):
            continue
        yield chosen
