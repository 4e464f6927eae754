"""Somebody's profile against a measured one; the figures are made up here."""

from __future__ import annotations

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.profiles.profile_check import (
    check_names,
    check_profile,
    claims_of_file,
    claims_of_scores,
)
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.provenance import Machine
from tests.samples import layer


def _score(fqn: str, ssim: float, half: float = 0.002, speedup: float = 1.5) -> LayerScore:
    return LayerScore(
        layer=layer(fqn),
        status=LayerStatus.MEASURED,
        samples=4,
        ssim=ssim,
        ssim_low=ssim - half,
        ssim_high=ssim + half,
        latency_s=Latency(unquantized=speedup, quantized=1.0),
    )


_GPU = "NVIDIA H100"
_MACHINE = Machine(device="cuda", device_name=_GPU, cpu_cores=2, memory_bytes=1, os="Linux")
_MEASURED = (_score("a", 0.99), _score("b", 0.95))


def test_figures_within_the_noise_agree() -> None:
    claims = claims_of_scores(
        {"a": 0.993, "b": 0.95}, (_score("a", 0.993), _score("b", 0.95)), _MACHINE
    )
    found = check_profile(claims, _MEASURED, _GPU)
    assert found.agrees
    assert (found.compared, found.speeds) == (2, 2)


def test_a_figure_beyond_the_noise_is_named() -> None:
    found = check_profile(claims_of_file({"a": 0.99, "b": 0.99}), _MEASURED, _GPU)
    (difference,) = found.disagreements
    assert (difference.fqn, difference.what) == ("b", "error")
    assert difference.claimed == pytest.approx(0.01)
    assert difference.measured == pytest.approx(0.05)
    assert not found.agrees


def test_an_edited_json_is_not_saved_by_the_intervals_of_its_sidecar() -> None:
    claims = claims_of_scores({"a": 0.99, "b": 0.999}, _MEASURED, _MACHINE)
    found = check_profile(claims, _MEASURED, _GPU)
    assert [x.fqn for x in found.disagreements] == ["b"]


def test_a_speed_that_is_not_reached_is_named() -> None:
    theirs = (_score("a", 0.99, speedup=3.0), _score("b", 0.95))
    claims = claims_of_scores({"a": 0.99, "b": 0.95}, theirs, _MACHINE)
    found = check_profile(claims, _MEASURED, _GPU)
    assert [(x.fqn, x.what, x.claimed, x.measured) for x in found.disagreements] == [
        ("a", "speed", 3.0, 1.5)
    ]
    assert found.speeds == 2
    for elsewhere in ("NVIDIA L4", None):
        assert check_profile(claims, _MEASURED, elsewhere).agrees


def test_layers_that_one_side_lacks_are_a_disagreement() -> None:
    found = check_profile(claims_of_file({"a": 0.99, "c": 1.0}), _MEASURED, _GPU)
    assert (found.not_in_file, found.not_measured) == (("b",), ("c",))
    assert not found.agrees


def test_a_file_for_another_model_is_refused() -> None:
    with pytest.raises(RequestError, match="1 layers that the model does not have"):
        check_names(claims_of_file({"a": 1.0, "z": 1.0}), (layer("a"),))
