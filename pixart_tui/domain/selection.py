"""Which layers to quantize: the seed's rule by count, and rules by cost and error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.latency import Latency
from pixart_tui.domain.onediff_file import chosen_layers
from pixart_tui.domain.profile import LayerScore, LayerStatus
from pixart_tui.domain.values import Value

_SOLVER_TOLERANCE: Final = 2e-6
_ROUNDING: Final = 1e-12

Rule = Literal["top-percentage", "flops-share", "time-share", "max-loss"]


class Selection(Value):
    """The outcome of a rule over a profile.

    Attributes:
        rule: The rule.
        parameter: Its parameter: percent, share of FLOPs or of time (0 to 1), or 1 - SSIM.
        quant_type: The quant type of the chosen layers.
        chosen: Layers to quantize, least sensitive first.
        kept: Layers that stay in the compute dtype, for whatever reason, in the model's order.
        flops_share: The chosen layers' part of the FLOPs of all linear layers.
        predicted_loss: Sum of the chosen layers' own 1 - SSIM: a prediction, nothing verified it.
        time_share: The chosen layers' part of the measured time of all linear layers, nothing
            quantized; None where the profile holds no latency, as are the next two.
        predicted_time_saved_s: Seconds that one denoising step of one image gets shorter, from the
            times of single layers.
        does_not_pay: Measured layers that quantizing makes no faster, chosen or not, in the
            model's order.
    """

    rule: Rule
    parameter: float
    quant_type: str
    chosen: tuple[str, ...]
    kept: tuple[str, ...]
    flops_share: float
    predicted_loss: float
    time_share: float | None = None
    predicted_time_saved_s: float | None = None
    does_not_pay: tuple[str, ...] | None = None


def select(
    scores: Sequence[LayerScore], quant_type: str, rule: Rule, parameter: float
) -> Selection:
    """Applies a rule to a profile's scores.

    Args:
        scores: Every layer of the model.
        quant_type: The quant type that the scores were measured under.
        rule: ``top-percentage`` keeps that percentage of the measured layers, by count and by
            SSIM, as onediffx does; ``flops-share`` takes the least summed loss that reaches the
            share; ``time-share`` does the same by measured time, with layers that pay alone;
            ``max-loss`` takes the most FLOPs whose summed loss stays within the budget.
        parameter: The rule's parameter.

    Raises:
        RequestError: The parameter is out of range, nothing was measured, the layers that can be
            quantized do not reach the share, or times are needed and there are none.
    """
    measured = [s for s in scores if s.status is LayerStatus.MEASURED]
    if not measured:
        raise RequestError(
            "the profile has no measured layer", "", "finish it first: pixart-tui resume last"
        )
    _check_parameter(rule, parameter)
    fqns = _apply(rule, measured, scores, parameter)
    return _describe(scores, quant_type, rule, parameter, fqns)


def _apply(
    rule: Rule, measured: Sequence[LayerScore], scores: Sequence[LayerScore], parameter: float
) -> set[str]:
    if rule == "top-percentage":
        return set(chosen_layers({s.layer.fqn: _ssim(s) for s in measured}, parameter))
    if rule == "flops-share":
        return _least_loss_of_flops(measured, parameter * _flops(scores))
    if rule == "time-share":
        return _least_loss_of_time(measured, scores, parameter)
    return _most_flops(measured, parameter)


def _describe(
    scores: Sequence[LayerScore], quant_type: str, rule: Rule, parameter: float, fqns: set[str]
) -> Selection:
    chosen = sorted((s for s in scores if s.layer.fqn in fqns), key=_ssim, reverse=True)
    timed = _is_timed(scores)
    return Selection(
        rule=rule,
        parameter=parameter,
        quant_type=quant_type,
        chosen=tuple(s.layer.fqn for s in chosen),
        kept=tuple(s.layer.fqn for s in scores if s.layer.fqn not in fqns),
        flops_share=_flops(chosen) / _flops(scores),
        predicted_loss=sum(1.0 - _ssim(s) for s in chosen),
        time_share=_unquantized_s(chosen) / _unquantized_s(scores) if timed else None,
        predicted_time_saved_s=sum(_latency(s).saved for s in chosen) if timed else None,
        does_not_pay=tuple(s.layer.fqn for s in scores if s.does_not_pay) if timed else None,
    )


def _check_parameter(rule: Rule, parameter: float) -> None:
    limits = {"top-percentage": (100.0, "percent")}
    limits |= dict.fromkeys(("flops-share", "time-share"), (1.0, "a share"))
    upper, unit = limits.get(rule, (float("inf"), "1 - SSIM"))
    if not 0 <= parameter <= upper:
        raise RequestError(
            f"--{rule} {parameter:g} is out of range",
            f"it is {unit} from 0 to {upper:g}",
            f"for example: pixart-tui select last --{rule} {90 if upper == 100 else 0.01:g}",
        )


def _least_loss_of_flops(measured: Sequence[LayerScore], needed_flops: float) -> set[str]:
    """The set with the least summed loss whose FLOPs reach ``needed_flops``."""
    reachable = _flops(measured)
    if reachable < needed_flops:
        raise RequestError(
            "the layers that can be quantized do not reach that share of FLOPs",
            f"they have {reachable:.4g} FLOPs a step of the {needed_flops:.4g} asked for",
            "ask for a smaller --flops-share",
        )
    return _least_loss(measured, [float(s.layer.flops) for s in measured], needed_flops)


def _least_loss_of_time(
    measured: Sequence[LayerScore], scores: Sequence[LayerScore], share: float
) -> set[str]:
    """The set of layers that pay with the least summed loss whose time reaches the share."""
    _check_timed(scores)
    paying = [s for s in measured if _latency(s).pays]
    reachable_s, needed_s = _unquantized_s(paying), share * _unquantized_s(scores)
    if reachable_s < needed_s:
        raise RequestError(
            "the layers that pay do not reach that share of time",
            f"they take {1e3 * reachable_s:.4g} ms a step of the {1e3 * needed_s:.4g} asked for",
            "ask for a smaller --time-share",
        )
    return _least_loss(paying, [_latency(s).unquantized for s in paying], needed_s)


def _least_loss(scores: Sequence[LayerScore], gains: Sequence[float], needed: float) -> set[str]:
    """The set with the least summed loss whose gains reach ``needed``."""
    if not scores:
        return set()
    return _names(scores, _solve(_losses(scores), -np.array(gains), -needed))


def _most_flops(measured: Sequence[LayerScore], budget: float) -> set[str]:
    """The set with the most FLOPs whose summed loss stays within ``budget``."""
    flops = np.array([float(s.layer.flops) for s in measured])
    return _names(measured, _solve(-flops, _losses(measured), budget))


def _losses(scores: Sequence[LayerScore]) -> npt.NDArray[np.float64]:
    return np.array([max(1.0 - _ssim(s), 0.0) for s in scores])


def _check_timed(scores: Sequence[LayerScore]) -> None:
    if not _is_timed(scores):
        raise RequestError(
            "the profile does not hold the time of its layers",
            "they are timed where the device runs the quant type for real; doctor tells which",
            "profile again on such a device, for fp8: pixart-tui profile --device cuda",
        )


def _is_timed(scores: Iterable[LayerScore]) -> bool:
    return all(s.latency_s is not None for s in scores)


def _latency(score: LayerScore) -> Latency:
    assert score.latency_s is not None
    return score.latency_s


def _unquantized_s(scores: Iterable[LayerScore]) -> float:
    return sum(_latency(s).unquantized for s in scores)


def _names(measured: Sequence[LayerScore], taken: npt.NDArray[np.bool_]) -> set[str]:
    return {s.layer.fqn for s, chosen in zip(measured, taken, strict=True) if chosen}


def _solve(
    cost: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], limit: float
) -> npt.NDArray[np.bool_]:
    """The subset with the least cost whose weights sum to ``limit`` at most."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    # The solver's tolerance is absolute, so both axes are scaled to about 1; what it still lets
    # through is caught by solving once more with that much less room.
    scale = float(np.abs(weight).sum()) or 1.0
    for slack in (0.0, _SOLVER_TOLERANCE):
        solution = milp(
            cost / (float(np.abs(cost).sum()) or 1.0),
            constraints=LinearConstraint(
                weight[np.newaxis, :] / scale, -np.inf, limit / scale - slack
            ),
            integrality=np.ones(len(cost), dtype=np.int64),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
        if solution.x is None:
            break
        taken = np.asarray(solution.x > 0.5)
        if weight[taken].sum() <= limit + _ROUNDING * scale:
            return taken
    raise WorkError("no selection was found", solution.message, "try a neighbouring value")


def _ssim(score: LayerScore) -> float:
    return min(score.ssim, 1.0) if score.ssim is not None else 0.0


def _flops(scores: Iterable[LayerScore]) -> int:
    return sum(s.layer.flops for s in scores)
