"""What is said of samples: how linear they are, and which ones stand out."""

from __future__ import annotations

import pytest

from pixart_tui.domain.files.sidecar import SampleRecord
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.reporting.sample_notes import (
    describe_method,
    diverging,
    nonlinear_part,
    out_of_range,
    out_of_range_note,
    sample_notes,
    sample_records,
)
from tests.adjoint_effects import sample_effects
from tests.samples import QUANT_TYPE, conditions, layer

_INT8 = "int8_dynamic"


def _record(prompt: str = "robot", **fields: object) -> SampleRecord:
    known: dict[str, object] = {
        "prompt": prompt,
        "seed": 0,
        "draws": 8,
        "whole_draws": 8,
        "predicted_loss": 0.02,
        "measured_loss": 0.021,
        "nonlinear": 0.1,
        "elapsed_s": 1.0,
    }
    return SampleRecord.model_validate(known | fields)


def _profile(method: str = "adjoint", quant_type: str = QUANT_TYPE) -> Profile:
    losses = {QUANT_TYPE: [0.01, 0.002], _INT8: [0.001, 0.001]}
    return Profile(
        conditions=conditions().replace(
            method=method, draws=8, quant_type=quant_type, seeds=(0, 1)
        ),
        layers=(layer("a"), layer("b")),
        excluded={},
        measurements=(),
        effects=tuple(
            sample_effects("robot", losses, seed=seed, in_range=seed == 0) for seed in (0, 1)
        ),
    )


def _records(profile: Profile) -> tuple[SampleRecord, ...]:
    return sample_records(profile, profile.effect_statistics())


def test_records_tell_what_was_measured_and_what_was_not() -> None:
    first, second = _records(_profile())
    assert (first.prompt, first.seed, first.draws, first.whole_draws) == ("robot", 0, 8, 8)
    assert first.saturation is None
    assert first.nonlinear is not None
    assert second.measured_loss is not None
    assert second.measured_loss == pytest.approx(0.29**2 * second.predicted_loss)
    assert second.saturation is not None
    assert second.measured_loss < second.saturation < 2 * second.measured_loss
    finer = _records(_profile(quant_type=_INT8))
    assert [record.measured_loss for record in finer] == [None, None]
    assert finer[0].nonlinear is None


def test_the_nonlinear_part_is_that_of_the_median_sample() -> None:
    parts = [_record(nonlinear=x) for x in (0.1, 0.9, 0.12, None)]
    assert nonlinear_part(parts) == 0.12
    assert nonlinear_part([_record(nonlinear=None)]) is None
    assert nonlinear_part([]) is None
    told = list(sample_notes(_profile(), parts))
    assert told == ["nonlinear part: 12% of what the errors of all layers together change"]


def test_samples_out_of_the_linear_range_are_named_the_farthest_first() -> None:
    near = _record("cat", predicted_loss=2.0, saturation=1.0)
    far = _record("owl", seed=3, predicted_loss=19.6, joint_loss=1.65, saturation=1.8)
    finer = _record("dog", predicted_loss=0.2, measured_loss=None, saturation=1.8)
    assert out_of_range([_record(), near, finer, far]) == [far, near]
    assert out_of_range_note(far) == (
        '! "owl" (seed 3) is out of the linear range: the sum of effects predicts 19.6, measured '
        "1.65; losses near 1.8 count less"
    )
    assert "predicts 19.6; losses near 1.8 count less" in out_of_range_note(
        far.replace(measured_loss=None)
    )


def test_a_prompt_diverges_by_the_loss_of_all_layers_together() -> None:
    """The measured one, which is known for every quant type of a run."""
    losses = {"a": 0.02, "b": 0.021, "c": 0.019, "d": 0.022, "e": 0.2}
    records = [
        _record(p, predicted_loss=0.01, measured_loss=None, joint_loss=loss)
        for p, loss in losses.items()
    ]
    assert diverging(_profile(), records) == ("e",)
    told = list(sample_notes(_profile(), records))
    assert told[-1].startswith('! "e" diverges: it outweighs the other prompts')


def test_the_exhaustive_method_has_the_floor_for_that() -> None:
    floor = tuple(
        Comparison(prompt=p, seed=0, ssim=1 - x)
        for p, x in {"a": 1e-3, "b": 1e-3, "c": 1e-3, "d": 9e-3}.items()
    )
    profile = _profile("exhaustive").replace(floor=floor)
    assert diverging(profile, []) == ("d",)


def test_the_method_is_told_with_its_samples() -> None:
    assert describe_method(_profile().conditions) == "adjoint, 8 draws, 2 samples"
    assert describe_method(conditions()) == "exhaustive, 1 image"
