"""The search space: the targets of a model, each with the quant types that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.layers.roles import depends_on_text_alone
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.values import Value

TargetKind = Literal["layer", "attention"]
OptionKey: TypeAlias = tuple[str, str]
"""A target's name and a quant type."""


class Target(Value):
    """A target of a selection: a layer, or a block's attention.

    Attributes:
        name: A layer's fqn, or of a block's attention module.
        kind: ``layer``, or ``attention``: the products of queries, keys and values.
        flops: Floating-point operations in one denoising step of one image.
        unquantized_s: Seconds of them in bfloat16, None where they were not timed.
    """

    name: str
    kind: TargetKind = "layer"
    flops: int
    unquantized_s: float | None = None


class Candidate(Value):
    """One quant type of one target.

    Attributes:
        target: The target's name.
        quant_type: What it would be quantized to.
        ssim: SSIM with this target alone quantized, at most 1.
        saved_s: Seconds that one step of one image gets shorter, negative where it gets longer;
            None where that was not timed.
        speeds_up: Whether it saves more than the uncertainty of its timing; None where not timed.
        steps_share: The part of an image's steps at which it is quantized.
        at_every_step: Whether it is quantized at the kept steps too.
    """

    target: str
    quant_type: str
    ssim: float
    saved_s: float | None = None
    speeds_up: bool | None = None
    steps_share: float = 1.0
    at_every_step: bool = True

    @property
    def key(self) -> OptionKey:
        """Returns the key of a candidate."""
        return (self.target, self.quant_type)

    @property
    def loss(self) -> float:
        """1 - SSIM with this target alone quantized."""
        return 1.0 - self.ssim


class Candidates(Value):
    """Every target with its options.

    Attributes:
        targets: All of them, those without an option too, in the model's order.
        options: In the order of the targets, then of the quant types.
        quant_types: The quant types, in the order of the profiles.
        kept_steps: The steps at which nothing is quantized.
    """

    targets: tuple[Target, ...]
    options: tuple[Candidate, ...]
    quant_types: tuple[str, ...]
    kept_steps: KeptSteps = NO_STEPS

    @property
    def flops(self) -> int:
        """Those of all layers, in one denoising step of one image: attention is none of them."""
        return sum(target.flops for target in self.targets if target.kind == "layer")

    @property
    def attention_flops(self) -> int:
        """Those of the attention targets."""
        return sum(target.flops for target in self.targets if target.kind == "attention")

    @property
    def layer_types(self) -> tuple[str, ...]:
        """The quant types of layers."""
        return tuple(name for name in self.quant_types if name != FP8_ATTENTION)

    @property
    def of_layers(self) -> Candidates:
        """The candidates without options for attention, whose targets are all kept."""
        options = tuple(o for o in self.options if o.quant_type != FP8_ATTENTION)
        return self.replace(options=options)

    @property
    def timed(self) -> bool:
        """Whether every layer, every attention that has an option, and every option was timed."""
        optional = {option.target for option in self.options}
        needed = (x for x in self.targets if x.kind == "layer" or x.name in optional)
        targets = all(target.unquantized_s is not None for target in needed)
        return targets and all(option.saved_s is not None for option in self.options)

    @property
    def unquantized_s(self) -> float:
        """Seconds of all targets with nothing quantized; only where they were timed."""
        return sum(target.unquantized_s or 0.0 for target in self.targets)

    def target(self, name: str) -> Target:
        """The target of that name."""
        return next(target for target in self.targets if target.name == name)


def candidates_of(profiles: Sequence[Profile]) -> Candidates:
    """The candidates of one or several profiles.

    Args:
        profiles: Of equal conditions but for the quant type, each of another one; one of them may
            be of attention.

    Raises:
        RequestError: They were measured on different things, or two of them under one quant type.
    """
    _check_comparable([profile.conditions for profile in profiles])
    return candidates_of_scores({p.conditions.quant_type: p.scores() for p in profiles})


def candidates_of_scores(scores: Mapping[str, Sequence[LayerScore]]) -> Candidates:
    """The candidates of scores by quant type.

    Args:
        scores: Of every layer of the model, in its order, under each quant type; under
            ``fp8_attention``, of the attention of every block.
    """
    ordered = sorted(scores, key=lambda name: name == FP8_ATTENTION)
    rows: dict[str, dict[str, LayerScore]] = {}
    for quant_type in ordered:
        for score in scores[quant_type]:
            rows.setdefault(score.layer.fqn, {})[quant_type] = score
    return Candidates(
        targets=tuple(_target(tuple(row.values())) for row in rows.values()),
        options=tuple(o for row in rows.values() for o in _options(row)),
        quant_types=tuple(ordered),
    )


def _target(row: Sequence[LayerScore]) -> Target:
    times = [score.latency_s for score in row if score.latency_s is not None]
    layer = row[0].layer
    return Target(
        name=layer.fqn,
        kind="attention" if layer.operation == "attention" else "layer",
        flops=layer.flops,
        unquantized_s=times[0].unquantized if times else None,
    )


def _options(row: Mapping[str, LayerScore]) -> Iterator[Candidate]:
    for quant_type, score in row.items():
        if score.status is LayerStatus.MEASURED and score.ssim is not None:
            latency = score.latency_s
            yield Candidate(
                target=score.layer.fqn,
                quant_type=quant_type,
                ssim=min(score.ssim, 1.0),
                saved_s=latency.saved if latency else None,
                speeds_up=latency.speeds_up if latency else None,
            )


def _check_comparable(conditions: Sequence[Conditions]) -> None:
    first, *others = conditions
    names = [c.quant_type for c in conditions]
    if len(set(names)) < len(names):
        raise RequestError(
            "two profiles hold the same quant type",
            cause=", ".join(names),
            next_step="give each quant type once",
        )
    for other in others:
        differing = _differences(first, other)
        if differing:
            raise RequestError(
                "the profiles were measured on different things",
                cause=f"{first.quant_type} and {other.quant_type} differ in {', '.join(differing)}",
                next_step="profile again with the same settings, only --quant-type different",
            )


def _differences(first: Conditions, other: Conditions) -> list[str]:
    pairs = zip(first, other, strict=True)
    return [name for (name, mine), (_, its) in pairs if name != "quant_type" and mine != its]


def with_steps_kept(
    candidates: Candidates,
    kept: KeptSteps,
    steps: int,
    left: Mapping[OptionKey, float] | None = None,
) -> Candidates:
    """The candidates of a deployment that keeps some steps.

    What depends on the text alone is computed once an image: it is quantized all the same. Any
    other target may be quantized at the other steps alone or, where it is known what that leaves
    of its loss, at every step.

    Args:
        candidates: The candidates of all steps.
        kept: The steps.
        steps: Denoising steps of an image.
        left: Of each option, the part of its loss that is left without the kept steps; None where
            that was not measured: then all of it, which is a bound.
    """
    share = kept.quantized_share(steps)

    def variants(option: Candidate) -> tuple[Candidate, ...]:
        if depends_on_text_alone(option.target):
            return (option,)
        part = 1.0 if left is None else left[option.key]
        fewer = {"steps_share": share, "at_every_step": False, "ssim": 1.0 - part * option.loss}
        elsewhere = option.replace(**fewer)
        return (elsewhere,) if left is None else (elsewhere, option)

    options = tuple(variant for option in candidates.options for variant in variants(option))
    return candidates.replace(options=options, kept_steps=kept)
