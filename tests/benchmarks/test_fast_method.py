"""The benchmark of the fast method on profiles that are made up here."""

from __future__ import annotations

import pytest

from benchmarks.fast_method import evaluate
from pixart_tui.domain.cost import Cost
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.probing import ProbeRow, Probing
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.sidecar import ProfileSidecar
from tests.samples import conditions, layer, measurement

_LAYERS = tuple(f"transformer_blocks.{i}.ff.net.2" for i in range(6))
_PROMPTS = ("a", "b", "c", "d")


def _sidecar(imaged: tuple[str, ...], probing: Probing | None) -> ProfileSidecar:
    measurements = tuple(
        measurement(fqn, 1 - 1e-5 * 3.0 ** _LAYERS.index(fqn) * (1 + 0.1 * i), prompt)
        for fqn in imaged
        for i, prompt in enumerate(_PROMPTS)
    )
    profile = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _LAYERS),
        excluded={},
        measurements=measurements,
        probing=probing,
    )
    cost = Cost(forwards=10.0, exhaustive_forwards=140.0, elapsed_s=1.0, exhaustive_s=12.0)
    return ProfileSidecar(
        run="0",
        date="2026-01-01T00:00:00+00:00",
        conditions=profile.conditions,
        machine=Machine(device="cpu", device_name="x", cpu_cores=2, memory_bytes=1, os="Linux"),
        versions={},
        elapsed_s=1.0,
        deployment_floor=None,
        measurement_noise=None,
        layers=profile.scores(),
        measurements=measurements,
        floor=(),
        probing=probing,
        cost=cost if probing else None,
    )


def _fast() -> ProfileSidecar:
    rows = tuple(ProbeRow(prompt=prompt, seed=0, step=0) for prompt in _PROMPTS)
    errors = {fqn: (1e-5 * 3.0**n,) * 4 for n, fqn in enumerate(_LAYERS)}
    probing = Probing(rows=rows, anchor=0, gains=(0.2,), null=(0.0,) * 4, errors=errors)
    return _sidecar(_LAYERS[:2], probing)


def test_a_perfect_ranking_at_a_fourteenth_of_the_cost() -> None:
    found = evaluate(_fast(), _sidecar(_LAYERS, None))
    assert found["layers"] == 6
    assert found["reference_samples"] == 4
    accuracy, cost = found["accuracy"], found["cost"]
    assert isinstance(accuracy, dict)
    assert isinstance(cost, dict)
    assert accuracy["spearman"] == pytest.approx(1)
    assert accuracy["estimated_layers"] == 4
    assert accuracy["intervals_that_hold_the_reference"] == 1
    assert cost["times_fewer_forwards"] == pytest.approx(14)


def test_profiles_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RequestError, match="not of the fast method"):
        evaluate(_sidecar(_LAYERS, None), _fast())
