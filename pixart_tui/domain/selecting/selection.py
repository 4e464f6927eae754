"""Which layers to quantize and to what: OneDiff's rule by count, and rules by cost and error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import model_validator

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.domain.selecting.candidates import Candidate, Candidates, candidates_of_scores
from pixart_tui.domain.selecting.onediff_rule import chosen_layers
from pixart_tui.domain.selecting.prediction import predicted_loss
from pixart_tui.domain.selecting.rules import RULES, Rule
from pixart_tui.domain.selecting.solving import Solver
from pixart_tui.domain.values import Value, read_old_names

Objective = Literal["count", "flops", "time"]


class Selection(Value):
    """The outcome of a rule over one or several profiles.

    Attributes:
        rule: The rule.
        parameter: Its parameter: percent, share of FLOPs or of time (0 to 1), or 1 - SSIM.
        quant_type: The quant type of the chosen layers; empty where they have several.
        assignments: Chosen target to its quant type, least sensitive first.
        chosen: Targets to quantize, least sensitive first.
        kept: Targets that stay in the compute dtype, for whatever reason, in the model's order.
        objective: What the rule counted as gain: layers, FLOPs or measured time.
        fused: Whether layers that read the same rows were decided together.
        kept_steps: The steps at which nothing is quantized but what follows.
        at_every_step: Targets that are quantized at the kept steps too, in the model's order; what
            depends on the text alone is computed once an image and quantized all the same. Empty
            where no step is kept.
        flops_share: The part of all layers' FLOPs that is quantized, over all steps of an image.
        attention_share: The same of the FLOPs of attention, which are none of layers; None where
            attention was not among what could be chosen.
        quantized_flops: FLOPs of one denoising step of one image that are quantized, layers and
            attention, on average over the steps; None in files that older versions wrote.
        predicted_loss: 1 - SSIM of all together, from single measurements: nothing verified it.
        predicted_by_step: Whether the effects of single steps are in it; otherwise it is as if no
            step were kept.
        predicted_low: Lower end of its 95% interval for other prompts; None where no effects of
            single steps are known, or of a single prompt.
        predicted_high: Its upper end.
        time_share: The chosen targets' part of the measured time of all of them, nothing
            quantized; None where not all were timed, as are the next two.
        predicted_time_saved_s: Seconds that one denoising step of one image gets shorter, on
            average over the steps, from the times of single targets.
        saved_at_every_step_s: The same if no step were kept.
        no_speedup: Targets that no measured quant type makes faster, chosen or not, in the
            model's order.
    """

    rule: Rule
    parameter: float
    quant_type: str
    assignments: Mapping[str, str] = {}
    chosen: tuple[str, ...]
    kept: tuple[str, ...]
    objective: Objective = "flops"
    fused: bool = False
    kept_steps: KeptSteps = NO_STEPS
    at_every_step: tuple[str, ...] = ()
    flops_share: float
    attention_share: float | None = None
    quantized_flops: float | None = None
    predicted_loss: float
    predicted_by_step: bool = False
    predicted_low: float | None = None
    predicted_high: float | None = None
    time_share: float | None = None
    predicted_time_saved_s: float | None = None
    saved_at_every_step_s: float | None = None
    no_speedup: tuple[str, ...] | None = None

    _old = model_validator(mode="before")(read_old_names({"does_not_pay": "no_speedup"}))

    @property
    def choice(self) -> Choice:
        """Returns the selection's choice: targets, quant types and steps."""
        return Choice(
            assignments=self.assignments,
            kept_steps=self.kept_steps,
            at_every_step=self.at_every_step,
        )

    @property
    def gain(self) -> float:
        """Returns the gain: seconds saved where everything was timed, else FLOPs."""
        if self.predicted_time_saved_s is not None:
            return self.predicted_time_saved_s
        return self.flops_share if self.quantized_flops is None else self.quantized_flops

    @property
    def mixed(self) -> bool:
        """Whether the selection holds several quant types."""
        return len(set(self.assignments.values())) > 1

    @property
    def fits_onediff(self) -> bool:
        """Whether OneDiff's JSON can say it: layers of one quant type, at every step."""
        return not self.mixed and not self.kept_steps and not self.attention

    @property
    def layers(self) -> tuple[str, ...]:
        """The chosen layers, without attention."""
        return tuple(name for name in self.chosen if name not in self.attention)

    @property
    def layer_types(self) -> tuple[str, ...]:
        """The quant types of the chosen layers, by name."""
        return tuple(sorted(set(self.assignments.values()) - {FP8_ATTENTION}))

    @property
    def attention(self) -> tuple[str, ...]:
        """The chosen attention targets."""
        assigned = self.assignments.items()
        return tuple(name for name, quant_type in assigned if quant_type == FP8_ATTENTION)


def select(
    scores: Sequence[LayerScore], quant_type: str, rule: Rule, parameter: float
) -> Selection:
    """Applies a rule to one profile's scores; see :func:`choose`.

    Args:
        scores: Every layer of the model.
        quant_type: The quant type that the scores were measured under.
        rule: The rule.
        parameter: The rule's parameter.
    """
    return choose(candidates_of_scores({quant_type: scores}), rule, parameter)


def choose(
    candidates: Candidates,
    rule: Rule,
    parameter: float,
    *,
    fused: bool = False,
    scale: float = 1.0,
    solver: Solver | None = None,
) -> Selection:
    """Applies a rule to the candidates.

    Args:
        candidates: The targets and the quant types that were measured.
        rule: ``top-percentage`` keeps that percentage of the measured layers, by count and by
            SSIM, as onediffx does; ``flops-share`` takes the least loss that reaches the share;
            ``time-share`` does the same by measured time, with options that pay alone;
            ``saved-share`` reaches that share of the time that could be saved at most;
            ``max-loss`` saves the most time within the budget, or moves the most FLOPs where not
            everything was timed. The first two are about layers and keep all attention, and so
            do the next two where attention was not timed.
        parameter: The rule's parameter.
        fused: Whether layers that read the same rows are decided together.
        scale: Measured loss over predicted loss, where joint measurements told it.
        solver: That of :func:`solver_of` for these, where there is one already.

    Raises:
        RequestError: The parameter is out of range, nothing was measured, the options do not
            reach the share, or times are needed and there are none.
    """
    _check(candidates, rule, parameter)
    candidates = _decided(candidates, rule)
    if rule == "top-percentage":
        options: Sequence[Candidate] = _by_count(candidates, parameter)
    else:
        options = _solved(
            candidates, rule, parameter, scale, solver or solver_of(candidates, rule, fused=fused)
        )
    return describe(candidates, rule, parameter, options, fused=fused, scale=scale)


def bound_of(
    candidates: Candidates, rule: Rule, parameter: float, solver: Solver, scale: float = 1.0
) -> float:
    """A bound that no selection reaches beyond, in far less time than the selection takes.

    Args:
        candidates: The candidates.
        rule: The rule.
        parameter: Its parameter.
        solver: That of :func:`solver_of` for these.
        scale: As of :func:`choose`.

    Returns:
        With ``max-loss``, the negative of :attr:`Selection.gain`; else the predicted loss before
        any scale. Negative infinity where the rule weighs nothing.

    Raises:
        RequestError: As :func:`choose`.
    """
    _check(candidates, rule, parameter)
    if rule == "top-percentage":
        return -math.inf
    candidates = _decided(candidates, rule)
    if rule == "max-loss":
        unit = candidates.flops if objective_of(candidates, rule) == "flops" else 1.0
        return -solver.gain_bound(parameter / scale) / unit
    return solver.loss_bound(_needed(candidates, rule, parameter, solver))


def describe(
    candidates: Candidates,
    rule: Rule,
    parameter: float,
    options: Sequence[Candidate],
    *,
    fused: bool = False,
    scale: float = 1.0,
) -> Selection:
    """The selection that these options are."""
    chosen = sorted(options, key=lambda option: option.ssim, reverse=True)
    names = {option.target for option in chosen}
    used = dict.fromkeys(option.quant_type for option in chosen) or dict.fromkeys(
        candidates.quant_types
    )
    flops = {target.name: target.flops for target in candidates.targets}
    done = {option.target: flops[option.target] * option.steps_share for option in chosen}
    of_attention = sum(done[o.target] for o in chosen if o.quant_type == FP8_ATTENTION)
    whole = {option.target for option in chosen if option.at_every_step and candidates.kept_steps}
    return Selection(
        rule=rule,
        parameter=parameter,
        quant_type=next(iter(used)) if len(used) == 1 else "",
        assignments={option.target: option.quant_type for option in chosen},
        chosen=tuple(option.target for option in chosen),
        kept=tuple(target.name for target in candidates.targets if target.name not in names),
        objective=objective_of(candidates, rule),
        fused=fused,
        kept_steps=candidates.kept_steps,
        at_every_step=tuple(target.name for target in candidates.targets if target.name in whole),
        flops_share=(sum(done.values()) - of_attention) / candidates.flops,
        attention_share=of_attention / candidates.attention_flops
        if candidates.attention_flops
        else None,
        quantized_flops=sum(done.values()),
        predicted_loss=predicted_loss(chosen, scale),
        **(_times(candidates, chosen) if candidates.timed else {}),
    )


def objective_of(candidates: Candidates, rule: Rule) -> Objective:
    """Returns the function that gives a candidate's gain under a rule."""
    if rule == "top-percentage":
        return "count"
    if rule == "flops-share" or (rule == "max-loss" and not candidates.timed):
        return "flops"
    return "time"


def _times(
    candidates: Candidates, chosen: Sequence[Candidate]
) -> dict[str, float | tuple[str, ...]]:
    times = {target.name: target.unquantized_s or 0.0 for target in candidates.targets}
    taken_s = sum(times[option.target] * option.steps_share for option in chosen)
    pays = {option.target: False for option in candidates.options}
    pays |= {option.target: True for option in candidates.options if option.speeds_up}
    return {
        "time_share": taken_s / candidates.unquantized_s,
        "predicted_time_saved_s": sum((o.saved_s or 0.0) * o.steps_share for o in chosen),
        "saved_at_every_step_s": sum(o.saved_s or 0.0 for o in chosen),
        "no_speedup": tuple(t.name for t in candidates.targets if not pays.get(t.name, True)),
    }


def _decided(candidates: Candidates, rule: Rule) -> Candidates:
    """The candidates, without attention where a rule is about layers or times are unknown."""
    of_layers = RULES[rule].of_layers or (rule != "max-loss" and not candidates.timed)
    return candidates.of_layers if of_layers else candidates


def _solved(
    candidates: Candidates, rule: Rule, parameter: float, scale: float, solver: Solver
) -> Sequence[Candidate]:
    if rule == "max-loss":
        return solver.most_gain(parameter / scale)
    return solver.least_loss(_needed(candidates, rule, parameter, solver))


def solver_of(candidates: Candidates, rule: Rule, *, fused: bool = False) -> Solver:
    """Builds the solver of a rule that weighs gain against loss."""
    candidates = _decided(candidates, rule)
    objective = objective_of(candidates, rule)
    flops = {target.name: float(target.flops) for target in candidates.targets}
    times = {target.name: target.unquantized_s or 0.0 for target in candidates.targets}

    def gain(option: Candidate) -> float:
        if objective == "flops":
            return flops[option.target] * option.steps_share
        saved_s = times[option.target] if rule == "time-share" else option.saved_s or 0.0
        return saved_s * option.steps_share

    return Solver(candidates, gain, fused=fused, only_paying=objective == "time")


def _by_count(candidates: Candidates, percentage: float) -> list[Candidate]:
    if len(candidates.layer_types) > 1:
        raise RequestError(
            "--top-percentage chooses among layers of one quant type",
            cause=f"the profiles hold {', '.join(candidates.layer_types)}",
            next_step="give one quant type, or another rule: --max-loss, --flops-share, "
            "--saved-share",
        )
    by_name: dict[str, Candidate] = {}
    for option in candidates.options:  # where steps are kept, first that which skips them
        by_name.setdefault(option.target, option)
    ssim = {name: option.ssim for name, option in by_name.items()}
    return [by_name[name] for name in chosen_layers(ssim, percentage)]


def _needed(candidates: Candidates, rule: Rule, share: float, solver: Solver) -> float:
    """The gain that a share asks for, which the options reach."""
    if rule == "flops-share":
        needed, unit, scale = share * candidates.flops, "FLOPs", 1.0
    else:
        _check_timed(candidates)
        by_time = rule == "time-share"
        whole = candidates.unquantized_s if by_time else solver.reachable_at_every_step
        needed, unit, scale = share * whole, "ms", 1e3
    if needed > solver.reachable * (1 + 1e-12):
        by_flops = rule == "flops-share"
        reachable = f"{scale * solver.reachable:.4g}"
        subject = "layers that can be quantized" if by_flops else "layers that pay"
        raise RequestError(
            f"the {subject} do not reach that share of {'FLOPs' if by_flops else 'time'}",
            cause=f"they {'have' if by_flops else 'take'} {reachable} {unit} a step of the "
            f"{scale * needed:.4g} asked for",
            next_step=f"ask for a smaller --{rule}",
        )
    return needed


def _check_timed(candidates: Candidates) -> None:
    if not candidates.timed:
        raise RequestError(
            "the profile does not hold the time of its layers",
            cause="they are timed where the device runs the quant type for real; doctor tells "
            "which",
            next_step="profile again on such a device, for fp8: pixart-tui profile --device cuda",
        )


def _check(candidates: Candidates, rule: Rule, parameter: float) -> None:
    if not candidates.options:
        raise RequestError(
            "the profile has no measured layer", next_step="finish it first: pixart-tui resume last"
        )
    if not candidates.flops:
        raise RequestError(
            "a selection decides about layers first",
            cause=f"{FP8_ATTENTION} says what attention costs beside them",
            next_step="give the profile of a quant type too",
        )
    RULES[rule].check(parameter)
