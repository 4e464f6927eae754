"""Describes a profile's samples: how linear they are, and which ones stand out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pixart_tui.domain.files.sidecar import SampleRecord
from pixart_tui.domain.profiles.diverging import diverging_prompts, outliers
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.words import count

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics, SampleStatistics


def describe_method(found: Conditions) -> str:
    """``adjoint, 8 draws, 16 samples``."""
    draws = f"{count(found.draws, 'draw')}, " if found.method == "adjoint" else ""
    unit = "sample" if found.method == "adjoint" else "image"
    return f"{found.method}, {draws}{count(found.samples, unit)}"


def _record(sample: SampleEffects, found: SampleStatistics) -> SampleRecord:
    saturation = found.linearity.saturation
    return SampleRecord(
        prompt=sample.prompt,
        seed=sample.seed,
        draws=len(sample.first_calls),
        whole_draws=sample.first_calls.count(0),
        predicted_loss=found.predicted_loss,
        measured_loss=found.measured_loss,
        joint_loss=sample.check.loss,
        nonlinear=found.nonlinear,
        saturation=saturation if math.isfinite(saturation) else None,
        early_share=found.early_share,
        elapsed_s=sample.elapsed_s,
    )


def sample_records(profile: Profile, found: EffectStatistics | None) -> tuple[SampleRecord, ...]:
    """Builds the notes on each sample of a profile.

    Args:
        profile: The profile.
        found: What its effects say; None where it has none, as with the exhaustive method.
    """
    known = found.samples if found is not None else ()
    return tuple(map(_record, profile.effects, known))


def sample_notes(profile: Profile, samples: Sequence[SampleRecord]) -> Iterator[str]:
    """One line each for what there is to say of a profile's samples."""
    if (nonlinear := nonlinear_part(samples)) is not None:
        yield nonlinear_note(nonlinear)
    yield from (out_of_range_note(sample) for sample in out_of_range(samples))
    yield from (diverging_note(prompt) for prompt in diverging(profile, samples))


def nonlinear_part(samples: Iterable[SampleRecord]) -> float | None:
    """The part of the joint loss that the sum of effects leaves over; of the median sample."""
    known = [sample.nonlinear for sample in samples if sample.nonlinear is not None]
    return statistics.median(known) if known else None


def nonlinear_note(part: float) -> str:
    """That part in words."""
    return f"nonlinear part: {part:.0%} of what the errors of all layers together change"


def out_of_range(samples: Iterable[SampleRecord]) -> list[SampleRecord]:
    """The samples that are out of the linear range, the farthest first."""
    # Under a finer quant type than the one that was checked, a sample may still be in it.
    found = [x for x in samples if x.saturation is not None and x.predicted_loss > x.saturation]
    return sorted(found, key=lambda x: (x.saturation or 0.0) / x.predicted_loss)


def out_of_range_note(sample: SampleRecord) -> str:
    """Why a sample counts less than the others."""
    known = sample.measured_loss is not None and sample.joint_loss is not None
    measured = f", measured {sample.joint_loss:.3g}" if known else ""
    return (
        f'! "{sample.prompt}" (seed {sample.seed}) is out of the linear range: the sum of effects '
        f"predicts {sample.predicted_loss:.3g}{measured}; losses near {sample.saturation:.2g} "
        "count less"
    )


def diverging(profile: Profile, samples: Sequence[SampleRecord]) -> tuple[str, ...]:
    """Prompts that a small error makes another image of, the worst first.

    Args:
        profile: Its bf16 floor tells them with the exhaustive method.
        samples: With the adjoint method, the measured losses of all errors together tell them.
    """
    if profile.conditions.method != "adjoint":
        return diverging_prompts(profile.floor)
    by_prompt: dict[str, list[float]] = {}
    for sample in samples:
        if sample.joint_loss is not None:
            by_prompt.setdefault(sample.prompt, []).append(sample.joint_loss)
    return outliers({prompt: statistics.fmean(found) for prompt, found in by_prompt.items()})


def diverging_note(prompt: str) -> str:
    """That one prompt outweighs the others."""
    return f'! "{prompt}" diverges: it outweighs the other prompts, ranks are surer without it'
