"""Joint measurements of a selection: on the repair set, and on a set of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.values import Value, read_old_names

Purpose = Annotated[
    Literal["repair", "report", "every-step", "onediff-rule"],
    BeforeValidator(lambda name: "onediff-rule" if name == "seed-rule" else name),
]
"""Why a selection is measured. An earlier version wrote ``seed-rule`` for the last one."""


class ImageSet(Value):
    """Images that something is measured on: each prompt with each seed.

    Attributes:
        prompts: The prompts.
        seeds: The seeds.
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def images(self) -> int:
        """How many."""
        return len(self.prompts) * len(self.seeds)


class JointLoss(Value):
    """The loss of a selection as a whole.

    Attributes:
        loss: Mean 1 - SSIM.
        low: Lower end of its 95% bootstrap interval, over prompts and seeds.
        high: Its upper end.
        psnr_db: Mean PSNR in dB of the images that differ.
        images: How many it was measured on.
    """

    loss: float
    low: float
    high: float
    psnr_db: float | None
    images: int


class JointMeasurement(Value):
    """One joint measurement.

    Attributes:
        purpose: Why: to repair, to report, to report the same layers quantized at every step, or to
            report OneDiff's rule beside.
        label: What it is, in words.
        assignments: Target to quant type.
        kept_steps: The steps at which nothing was quantized but what follows.
        at_every_step: Targets that were quantized at the kept steps too.
        predicted: 1 - SSIM that was predicted before measuring.
        measured: What was measured; None where an image was not finite.
        elapsed_s: Seconds of measuring.
    """

    purpose: Purpose
    label: str
    assignments: Mapping[str, str]
    kept_steps: KeptSteps = NO_STEPS
    at_every_step: tuple[str, ...] = ()
    predicted: float
    measured: JointLoss | None
    elapsed_s: float

    @property
    def choice(self) -> Choice:
        """Returns the choice that was quantized."""
        return Choice(
            assignments=self.assignments,
            kept_steps=self.kept_steps,
            at_every_step=self.at_every_step,
        )

    @property
    def loss(self) -> float:
        """The measured loss, infinite where an image was not finite."""
        return self.measured.loss if self.measured else float("inf")


class Verification(Value):
    """How a selection was verified.

    Attributes:
        fitting: What the profile was measured on.
        repairing: What the selection was repaired on.
        reporting: What the verified figure was measured on; disjoint from both.
        budget: The largest loss allowed, None where a share was asked for.
        predicted: 1 - SSIM from single layers, before the repair measured anything.
        repair: The loss on the repair set.
        verified: The loss on the reporting set.
        every_step: The same layers there, quantized at every step; None where no step is kept.
        onediff_rule: OneDiff's rule at the same share of FLOPs there; None where not measured.
        trials: Every joint measurement, in order.
    """

    fitting: ImageSet
    repairing: ImageSet
    reporting: ImageSet
    budget: float | None = None
    predicted: float
    repair: JointLoss
    verified: JointLoss
    every_step: JointMeasurement | None = None
    onediff_rule: JointMeasurement | None = None
    trials: tuple[JointMeasurement, ...] = ()

    _old = model_validator(mode="before")(read_old_names({"seed_rule": "onediff_rule"}))

    @property
    def holds(self) -> bool | None:
        """Whether the verified loss is within the budget; None where there is none."""
        return None if self.budget is None else self.verified.loss <= self.budget


def joint_loss(comparisons: Sequence[Comparison]) -> JointLoss | None:
    """The loss over all images, None where one is not finite."""
    # Only now: reading a journal needs this module and no numpy.
    import numpy as np

    from pixart_tui.domain.profiles.scoring import bootstrap_interval, mean

    losses = [c.loss for c in comparisons if c.loss is not None]
    if len(losses) < len(comparisons) or not losses:
        return None
    psnrs = [c.psnr_db for c in comparisons if c.psnr_db is not None]
    low, high = bootstrap_interval(np.array(losses))
    return JointLoss(
        loss=float(np.mean(losses)),
        low=low,
        high=high,
        psnr_db=mean(psnrs),
        images=len(losses),
    )


def check_disjoint(sets: Mapping[str, ImageSet]) -> None:
    """Refuses sets that share a prompt or a seed: a selection must not be judged by what made it.

    Args:
        sets: What each is for, and the set.

    Raises:
        RequestError: Two of them overlap, one is empty, or a single image is to be reported.
    """
    names = list(sets)
    for name in names:
        if not sets[name].images:
            raise RequestError(
                f"there are no images for {name}", next_step="give it prompts and a seed"
            )
    reporting = sets.get("reporting")
    if reporting is not None and reporting.images < 2:
        raise RequestError(
            "a single image has no interval to report",
            cause=f'reporting has only "{reporting.prompts[0]}"',
            next_step="give at least two lines in --report-prompts FILE",
        )
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            _refuse_overlap(one, sets[one], other, sets[other])


def _refuse_overlap(one: str, first: ImageSet, other: str, second: ImageSet) -> None:
    prompts = sorted(set(first.prompts) & set(second.prompts))
    seeds = sorted(set(first.seeds) & set(second.seeds))
    if prompts or seeds:
        shared = [f'"{prompt}"' for prompt in prompts[:2]] + [f"seed {seed}" for seed in seeds[:2]]
        raise RequestError(
            f"{one} and {other} share images",
            cause=f"both have {', '.join(shared)}",
            next_step="a selection must not be judged by what made it: give other prompts and "
            "other seeds",
        )


def three_sets(
    prompts: Sequence[str],
    fitting: ImageSet,
    *,
    repair_images: int,
    report_images: int,
    given: ImageSet | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Sets to repair and to report on, from prompts that the profile has not used.

    Args:
        prompts: What there is; where it is too little, each prompt gets several seeds.
        fitting: What the profile was measured on.
        repair_images: Images to repair on, about.
        report_images: Images to report on, about.
        given: A set that takes the place of one of the two; they share nothing with it either.

    Raises:
        RequestError: Fewer than two prompts are left.
    """
    taken = {*fitting.prompts, *(given.prompts if given else ())}
    free = [prompt for prompt in dict.fromkeys(prompts) if prompt not in taken]
    if len(free) < 2:
        raise RequestError(
            "there are no prompts left to verify on",
            cause=f"the profile was measured on {len(fitting.prompts)} of {len(set(prompts))}",
            next_step="give some: --repair-prompts FILE --report-prompts FILE",
        )
    wanted = repair_images + report_images
    cut = min(repair_images, max(1, len(free) * repair_images // wanted))
    repair, report = free[:cut], free[cut : cut + report_images]
    seed = max(*fitting.seeds, *(given.seeds if given else ()), -1) + 1
    first = -(-repair_images // len(repair))
    second = -(-report_images // len(report))
    return (
        ImageSet(prompts=tuple(repair), seeds=tuple(range(seed, seed + first))),
        ImageSet(prompts=tuple(report), seeds=tuple(range(seed + first, seed + first + second))),
    )
