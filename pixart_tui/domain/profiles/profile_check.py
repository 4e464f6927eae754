"""Compares a third party's profile with a fresh measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.values import Value

SPEED_TOLERANCE: Final = 0.15
"""Part by which a layer's gain in time may differ between two machines of one kind."""

_ROUNDING: Final = 1e-7
"""SSIM that float rounding in other versions and thread counts moves."""


class Claim(Value):
    """A file's claim about one layer.

    Attributes:
        fqn: The layer.
        ssim: Its SSIM.
        low: Lower end of its 95% interval; ``ssim`` where the file has none.
        high: Its upper end.
        speedup: Its time unquantized over quantized; None where the file has none.
        speedup_noise: What that is uncertain by.
        gpu: The GPU that it was timed on; None where it was none: a CPU's times move with whatever
            else it does, so that they tell nothing about a file.
    """

    fqn: str
    ssim: float
    low: float
    high: float
    speedup: float | None = None
    speedup_noise: float = 0.0
    gpu: str | None = None


class Disagreement(Value):
    """A layer of which two profiles say different things.

    Attributes:
        fqn: The layer.
        what: ``error`` or ``speed``.
        claimed: 1 - SSIM, or the time unquantized over quantized, in the file.
        measured: The same, measured again.
    """

    fqn: str
    what: str
    claimed: float
    measured: float


class ProfileCheck(Value):
    """The outcome.

    Attributes:
        compared: Layers that both know.
        not_in_file: Layers that were measured and that the file lacks.
        not_measured: Layers of the file that cannot be quantized here, or gave NaN.
        speeds: Layers whose time both know.
        disagreements: Beyond noise, largest difference first.
    """

    compared: int
    not_in_file: tuple[str, ...]
    not_measured: tuple[str, ...]
    speeds: int
    disagreements: tuple[Disagreement, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs beyond noise and both hold the same layers."""
        return not (self.disagreements or self.not_in_file or self.not_measured)


def claims_of_file(ssim_by_fqn: Mapping[str, float]) -> tuple[Claim, ...]:
    """Reads the claims of a JSON without a sidecar: figures without intervals."""
    return tuple(Claim(fqn=fqn, ssim=x, low=x, high=x) for fqn, x in ssim_by_fqn.items())


def claims_of_scores(
    ssim_by_fqn: Mapping[str, float], scores: Sequence[LayerScore], machine: Machine
) -> tuple[Claim, ...]:
    """Reads the claims of a JSON and its sidecar. OneDiff reads the JSON: its figures count."""
    gpu = gpu_of(machine)
    known = {score.layer.fqn: score for score in scores}
    claims = []
    for claim in claims_of_file(ssim_by_fqn):
        score = known.get(claim.fqn)
        if score is None or score.ssim_low is None or score.ssim_high is None:
            claims.append(claim)
            continue
        # The JSON's figures are capped at 1; an interval says how sure its middle is.
        shift = claim.ssim - min(score.ssim or 0.0, 1.0)
        update = {
            "low": score.ssim_low + shift,
            "high": score.ssim_high + shift,
            "speedup": _speedup(score),
            "speedup_noise": _speedup_noise(score),
            "gpu": gpu,
        }
        claims.append(claim.replace(**update))
    return tuple(claims)


def gpu_of(machine: Machine) -> str | None:
    """The GPU's name, None for a CPU."""
    return machine.device_name if machine.device == "cuda" else None


def check_names(claims: Sequence[Claim], layers: Sequence[Layer]) -> None:
    """Refuses a file for another model.

    Raises:
        RequestError: It names layers that the model does not have.
    """
    known = {layer.fqn for layer in layers}
    unknown = [claim.fqn for claim in claims if claim.fqn not in known]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise RequestError(
            f"the file names {len(unknown)} layers that the model does not have",
            cause=", ".join(unknown[:3]) + more,
            next_step="name the model that it was measured on: --model M",
        )


def check_profile(
    claims: Sequence[Claim], scores: Sequence[LayerScore], gpu: str | None
) -> ProfileCheck:
    """Compares claims with what was measured.

    Two figures of an error disagree where their 95% intervals do not meet; a figure without an
    interval, where it lies outside the measured one. Speeds are compared if both were measured
    on a GPU of one name, and disagree where the gain differs by more than ``SPEED_TOLERANCE``
    beyond the noise of both.

    Args:
        claims: What the file says.
        scores: What was measured.
        gpu: The GPU that measured, None for a CPU.
    """
    measured = {s.layer.fqn: s for s in scores if s.ssim is not None}
    claimed = {claim.fqn: claim for claim in claims}
    common = [fqn for fqn in claimed if fqn in measured]
    errors = [x for fqn in common if (x := _error(claimed[fqn], measured[fqn]))]
    alike = [fqn for fqn in common if gpu is not None and claimed[fqn].gpu == gpu]
    timed = [f for f in alike if claimed[f].speedup and _speedup(measured[f])]
    speeds = [x for fqn in timed if (x := _speed(claimed[fqn], measured[fqn]))]
    return ProfileCheck(
        compared=len(common),
        not_in_file=tuple(fqn for fqn in measured if fqn not in claimed),
        not_measured=tuple(fqn for fqn in claimed if fqn not in measured),
        speeds=len(timed),
        disagreements=(
            *sorted(errors, key=lambda x: abs(x.claimed - x.measured), reverse=True),
            *sorted(speeds, key=lambda x: abs(x.claimed / x.measured - 1), reverse=True),
        ),
    )


def _error(claim: Claim, score: LayerScore) -> Disagreement | None:
    assert score.ssim is not None
    low = score.ssim if score.ssim_low is None else score.ssim_low
    high = score.ssim if score.ssim_high is None else score.ssim_high
    if claim.low <= high + _ROUNDING and claim.high >= low - _ROUNDING:
        return None
    return Disagreement(
        fqn=claim.fqn, what="error", claimed=1 - claim.ssim, measured=1 - score.ssim
    )


def _speed(claim: Claim, score: LayerScore) -> Disagreement | None:
    claimed, measured = claim.speedup, _speedup(score)
    assert claimed is not None
    assert measured is not None
    noise = claim.speedup_noise + _speedup_noise(score)
    if abs(claimed - measured) <= SPEED_TOLERANCE * measured + noise:
        return None
    return Disagreement(fqn=claim.fqn, what="speed", claimed=claimed, measured=measured)


def _speedup_noise(score: LayerScore) -> float:
    latency = score.latency_s
    return latency.noise / latency.quantized if latency and latency.quantized else 0.0


def _speedup(score: LayerScore) -> float | None:
    latency = score.latency_s
    if latency is None or not latency.quantized:
        return None
    return latency.unquantized / latency.quantized
