"""Plans of the memory on a CPU, whose limit is set so that something does not fit."""

from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.events import PassPlanned
from pixart_tui.engine.sensitivity.adjoint import memory_plan
from pixart_tui.engine.sensitivity.adjoint.memory_plan import pass_plans
from tests.engine.sensitivity.adjoint.models import ALPHA, renderer

_SMALLEST = PassPlanned(
    samples=1, draws=1, keeps_hidden_states=False, keeps_weights=False, decoder_at_once=False
)
_ALL = PassPlanned(
    samples=1,
    draws=1,
    keeps_hidden_states=False,
    keeps_weights=True,
    decoder_at_once=True,
    keeps_graphs=True,
)
_GRAPHS_ALONE = _SMALLEST.replace(keeps_graphs=True)
_STEPS = 3
_STATES_ALONE = _SMALLEST.replace(keeps_hidden_states=True)
# At three places, 6 patches of both halves of the guidance, 48 wide, in float32.
_STATES = _STEPS * 3 * 2 * 6 * 48 * 4
_DECODER = 32 * 48 * 5000 * 4
_GRAPHS = _STATES * (memory_plan._GRAPH + memory_plan._ERRORS)


def _plans(**changes: object) -> list[PassPlanned]:
    settings = {"quant_types": 1, "draws": 4, "replicas": 1, "low_memory": False} | changes
    made = renderer(ALPHA, dtype=torch.float32, num_inference_steps=_STEPS)
    return pass_plans(made, **settings)  # type: ignore[arg-type]


def test_what_fits_is_kept_and_the_last_plan_is_the_smallest() -> None:
    fewer = [_ALL.replace(draws=draws) for draws in (4, 2, 1)]
    assert _plans() == [*fewer, _SMALLEST]


def test_low_memory_begins_with_the_smallest() -> None:
    assert _plans(low_memory=True) == [_SMALLEST]


@pytest.mark.parametrize(
    ("allowed", "replicas", "first"),
    [
        (_DECODER, 1, _ALL),
        (_DECODER - 1, 1, _ALL.replace(decoder_at_once=False)),
        (_GRAPHS, 1, _GRAPHS_ALONE),
        (_GRAPHS - 1, 1, _STATES_ALONE),
        (_STATES, 1, _STATES_ALONE),
        (_STATES - 1, 1, _SMALLEST),
        (2 * _STATES, 2, _STATES_ALONE),
        (_STATES, 2, _SMALLEST),
    ],
)
def test_each_thing_has_its_share(
    monkeypatch: pytest.MonkeyPatch, allowed: int, replicas: int, first: PassPlanned
) -> None:
    monkeypatch.setattr(memory_plan, "_CPU_BYTES", allowed)
    plans = _plans(replicas=replicas, draws=1)
    assert plans == ([_SMALLEST] if first == _SMALLEST else [first, _SMALLEST])


def test_more_quant_types_take_more_for_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    made = renderer(ALPHA, dtype=torch.float32)
    weights = sum(x.numel() * 4 for x in made.transformer.parameters())
    monkeypatch.setattr(memory_plan, "_CPU_BYTES", 4 * weights)
    assert [_plans(quant_types=count)[0].keeps_weights for count in (1, 2, 3)] == [
        True,
        True,
        False,
    ]
