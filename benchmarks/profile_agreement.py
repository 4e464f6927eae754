"""How far two profiles of one model agree: a simulated and a real one, or one on two devices.

    python -m benchmarks.profile_agreement A.json B.json [--output benchmarks/results/FILE.json]

The sidecars (``.meta.json``) beside the two files are read. A rank correlation alone says little
where most layers lie within the noise of the measurement, so the differences stand beside each
profile's own noise, and the correlation is also given for the layers above it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.profiles.score import LayerScore

TOP: Final = (5, 10, 20)
_MUST_AGREE: Final = ("model_fingerprint", "quant_type")
_FEWEST: Final = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two profiles, compared layer by layer.

    Attributes:
        layers: Layers that both have measured.
        only_in_one: Layers that one of them has measured.
        differing_conditions: What they were not measured alike on, with both values.
        spearman: Spearman's rank correlation of SSIM over the layers.
        layers_above_noise: Layers whose 1 - SSIM is above both measurement noises.
        spearman_above_noise: The rank correlation over those; None if they are fewer than three.
        top_overlap: Of the k most sensitive layers of the first, the share that is among the k of
            the second.
        median_delta_ssim: Median over the layers of the absolute difference of SSIM.
        max_delta_ssim: Its maximum.
        max_delta_layer: The layer where it is.
        measurement_noise: Of each: median standard deviation of SSIM over prompts and seeds.
        within_noise: Share of the layers whose SSIM differs by less than the larger noise.
        intervals_overlap: Share of the layers whose 95% bootstrap intervals overlap.
        deployment_floor: Of each; None where it was not measured.
    """

    layers: int
    only_in_one: tuple[str, ...]
    differing_conditions: Mapping[str, tuple[object, object]]
    spearman: float
    layers_above_noise: int
    spearman_above_noise: float | None
    top_overlap: Mapping[int, float]
    median_delta_ssim: float
    max_delta_ssim: float
    max_delta_layer: str
    measurement_noise: tuple[float | None, float | None]
    within_noise: float
    intervals_overlap: float
    deployment_floor: tuple[float | None, float | None]


def agreement(first: ProfileSidecar, second: ProfileSidecar) -> Agreement:
    """Compares two profiles.

    Raises:
        RequestError: Different models or quant types, or fewer than three layers in common.
    """
    a, b = _measured(first), _measured(second)
    common = [fqn for fqn in a if fqn in b]
    differing = _differing(first, second)
    _check(common, differing)
    ssim_a, ssim_b = (np.array([x[fqn].ssim for fqn in common], dtype=float) for x in (a, b))
    delta = np.abs(ssim_a - ssim_b)
    noise = max(x.measurement_noise or 0.0 for x in (first, second))
    above = (1 - ssim_a > noise) & (1 - ssim_b > noise)
    return Agreement(
        layers=len(common),
        only_in_one=tuple(sorted(a.keys() ^ b.keys())),
        differing_conditions=differing,
        spearman=_spearman(ssim_a, ssim_b),
        layers_above_noise=int(above.sum()),
        spearman_above_noise=(
            _spearman(ssim_a[above], ssim_b[above]) if above.sum() >= _FEWEST else None
        ),
        top_overlap={k: _top_overlap(ssim_a, ssim_b, k) for k in TOP if k <= len(common)},
        median_delta_ssim=float(np.median(delta)),
        max_delta_ssim=float(delta.max()),
        max_delta_layer=common[int(delta.argmax())],
        measurement_noise=(first.measurement_noise, second.measurement_noise),
        within_noise=float((delta <= noise).mean()),
        intervals_overlap=float(np.mean([_overlap(a[fqn], b[fqn]) for fqn in common])),
        deployment_floor=(first.deployment_floor, second.deployment_floor),
    )


def _measured(profile: ProfileSidecar) -> dict[str, LayerScore]:
    return {score.layer.fqn: score for score in profile.layers if score.ssim is not None}


def _differing(first: ProfileSidecar, second: ProfileSidecar) -> dict[str, tuple[object, object]]:
    a = first.conditions.model_dump() | {"device": first.machine.device_name}
    b = second.conditions.model_dump() | {"device": second.machine.device_name}
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


def _check(common: Sequence[str], differing: Mapping[str, object]) -> None:
    wrong = [name for name in _MUST_AGREE if name in differing]
    if wrong:
        raise RequestError(
            "these two profiles have nothing to compare",
            cause=f"different: {', '.join(wrong)}",
            next_step="give two profiles of one model and one quant type",
        )
    if len(common) < _FEWEST:
        raise RequestError(
            "too few layers in common", cause=f"{len(common)}", next_step="profile every layer"
        )


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def _top_overlap(a: np.ndarray, b: np.ndarray, k: int) -> float:
    tops = [set(np.argsort(ssim, kind="stable")[:k].tolist()) for ssim in (a, b)]
    return len(tops[0] & tops[1]) / k


def _overlap(a: LayerScore, b: LayerScore) -> bool:
    ends = (a.ssim_low, a.ssim_high, b.ssim_low, b.ssim_high)
    a_low, a_high, b_low, b_high = (float("nan") if end is None else end for end in ends)
    return a_low <= b_high and b_low <= a_high


def table(found: Agreement) -> str:
    """The agreement as a few aligned lines."""
    above = found.spearman_above_noise
    rows = [
        ("layers in both", str(found.layers)),
        ("layers in one only", str(len(found.only_in_one))),
        *((f"{name} differs", f"{a} / {b}") for name, (a, b) in _short(found).items()),
        ("Spearman, all layers", f"{found.spearman:.4f}"),
        (
            f"Spearman, {found.layers_above_noise} layers above noise",
            "-" if above is None else f"{above:.4f}",
        ),
        *((f"top {k} in common", f"{share:.0%}") for k, share in found.top_overlap.items()),
        ("|delta SSIM| median", f"{found.median_delta_ssim:.2e}"),
        ("|delta SSIM| max", f"{found.max_delta_ssim:.2e} ({found.max_delta_layer})"),
        ("measurement noise", _both(found.measurement_noise)),
        ("bf16 floor", _both(found.deployment_floor)),
        ("|delta SSIM| within noise", f"{found.within_noise:.0%} of the layers"),
        ("95% intervals overlap", f"{found.intervals_overlap:.0%} of the layers"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _short(found: Agreement) -> dict[str, tuple[object, object]]:
    return {k: v for k, v in found.differing_conditions.items() if k != "prompts"}


def _both(figures: tuple[float | None, float | None]) -> str:
    return " / ".join("-" if figure is None else f"{figure:.2e}" for figure in figures)


def read(path: Path) -> ProfileSidecar:
    """The sidecar of a profile's JSON, or the sidecar itself.

    Raises:
        RequestError: It is not there, or is no profile's sidecar.
    """
    named = path.name.endswith(".meta.json")
    beside = path if named else Path(onediff_file.sidecar_path(path))
    try:
        text = beside.read_text(encoding="utf-8")
    except OSError as error:
        cause = error.strerror or str(error)
        raise RequestError(
            f"{beside} cannot be read", cause=cause, next_step="profile again"
        ) from error
    return sidecar.parse(text, str(beside), ProfileSidecar)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, prints and writes; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", type=Path, metavar="A.json")
    parser.add_argument("second", type=Path, metavar="B.json")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/profile-agreement.json")
    )
    options = parser.parse_args(words)
    try:
        found = agreement(read(options.first), read(options.second))
    except PixartTuiError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    print(table(found))
    result = asdict(found) | {
        "profiles": [str(options.first), str(options.second)],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.profile_agreement", *words]),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
