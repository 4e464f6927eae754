"""Attention beside layers: chosen by what it costs, and never counted as linear FLOPs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import mixed_file
from pixart_tui.domain.files.exporting.formats import EXPORT_FORMATS, check_expressible
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.selecting.candidates import Candidates, candidates_of_scores
from pixart_tui.domain.selecting.pareto import pareto_curve
from pixart_tui.domain.selecting.prediction import predicted_loss
from pixart_tui.domain.selecting.repair import onediff_rule_at_share
from pixart_tui.domain.selecting.selection import choose
from tests.domain.selecting.candidate_sets import NAMES, TYPES, every_choice, mixed_groups

_BLOCKS: Final = ("transformer_blocks.0.attn1", "transformer_blocks.1.attn1")


def _score(name: str, loss: float | None) -> LayerScore:
    attention = name in _BLOCKS
    layer = Layer(
        fqn=name,
        in_features=4,
        out_features=8,
        has_bias=False,
        rows=1 + len(name) % 5,
        operation="attention" if attention else "linear",
    )
    if loss is None:
        return LayerScore(layer=layer, status=LayerStatus.EXCLUDED, reason="heads")
    return LayerScore(layer=layer, status=LayerStatus.MEASURED, samples=1, ssim=1 - loss)


def _candidates(losses: Mapping[str, Mapping[str, float | None]]) -> Candidates:
    scores = {
        quant_type: [_score(name, loss) for name, loss in by_name.items()]
        for quant_type, by_name in losses.items()
    }
    return candidates_of_scores(scores)


_LOSS: Final = st.floats(0, 0.05)


@st.composite
def _candidates_by_steps(draw: st.DrawFn) -> Candidates:
    types = TYPES[: draw(st.integers(1, 2))]
    losses = {x: {name: draw(_LOSS) for name in NAMES[1:]} for x in types}
    return _candidates({FP8_ATTENTION: {name: draw(_LOSS) for name in _BLOCKS}, **losses})


def _few() -> Candidates:
    return _candidates(
        {
            TYPES[0]: {NAMES[0]: 0.01, NAMES[5]: 0.02},
            FP8_ATTENTION: {_BLOCKS[0]: 0.001, _BLOCKS[1]: None},
        }
    )


def test_targets_are_the_layers_and_behind_them_the_attention() -> None:
    candidates = _few()
    assert [(x.name, x.kind) for x in candidates.targets] == [
        (NAMES[0], "layer"),
        (NAMES[5], "layer"),
        (_BLOCKS[0], "attention"),
        (_BLOCKS[1], "attention"),
    ]
    assert candidates.quant_types == (TYPES[0], FP8_ATTENTION)
    assert candidates.layer_types == (TYPES[0],)
    by_name = {target.name: target.flops for target in candidates.targets}
    assert candidates.flops == by_name[NAMES[0]] + by_name[NAMES[5]]
    assert candidates.attention_flops == by_name[_BLOCKS[0]] + by_name[_BLOCKS[1]]
    assert [option.key for option in candidates.options][-1] == (_BLOCKS[0], FP8_ATTENTION)


@settings(deadline=None, max_examples=60)
@given(_candidates_by_steps(), st.floats(0, 0.2), st.booleans())
def test_max_loss_moves_as_many_flops_as_any_choice(
    candidates: Candidates, budget: float, fused: bool
) -> None:
    found = choose(candidates, "max-loss", budget, fused=fused)
    flops = {target.name: target.flops for target in candidates.targets}
    within = max(
        sum(flops[option.target] for option in choice)
        for choice in every_choice(candidates, fused=fused)
        if predicted_loss(choice) <= budget
    )
    assert found.objective == "flops"
    assert found.gain == found.quantized_flops
    assert within <= found.gain * (1 + 1e-9)
    assert found.predicted_loss <= budget + 1e-12
    if fused:
        assert mixed_groups({x: found.assignments[x] for x in found.layers}) == []


@settings(deadline=None, max_examples=40)
@given(_candidates_by_steps(), st.integers(0, 100).map(lambda p: p / 100))
def test_shares_are_of_linear_flops_and_keep_attention(
    candidates: Candidates, share: float
) -> None:
    found = choose(candidates, "flops-share", share)
    assert found == choose(candidates.of_layers, "flops-share", share)
    assert found.attention == ()
    assert found.attention_share == 0
    assert share - 1e-9 <= found.flops_share <= 1 + 1e-12
    assert set(_BLOCKS) <= set(found.kept)


def test_the_rule_by_count_and_the_curve_are_about_layers() -> None:
    candidates = _few()
    found = choose(candidates, "top-percentage", 100)
    assert set(found.chosen) == {NAMES[0], NAMES[5]}
    assert found.fits_onediff
    assert found.quant_type == TYPES[0]
    curve = pareto_curve(candidates)
    assert max(point.layers for point in curve.ours) == 2
    assert curve.onediff_rule
    assert {x.quant_type for x in onediff_rule_at_share(candidates, 1.0)} == {TYPES[0]}


def test_attention_and_the_layers_of_its_block_are_decided_apart() -> None:
    candidates = _candidates(
        {
            TYPES[0]: dict.fromkeys(NAMES[:3], 0.01),
            TYPES[2]: dict.fromkeys(NAMES[:3], 0.02),
            FP8_ATTENTION: {_BLOCKS[0]: 0.001},
        }
    )
    found = choose(candidates, "max-loss", 1.0, fused=True)
    assert found.attention == (_BLOCKS[0],)
    assert set(found.layers) == set(NAMES[:3])
    assert found.attention_share == found.flops_share == 1


def test_time_counts_attention_where_it_was_timed_and_keeps_it_where_not() -> None:
    def timed(candidates: Candidates, kinds: tuple[str, ...]) -> Candidates:
        names = {target.name for target in candidates.targets if target.kind in kinds}
        targets = tuple(
            x.replace(unquantized_s=2e-3) if x.name in names else x for x in candidates.targets
        )
        saved = {"saved_s": 1e-3, "speeds_up": True}
        options = tuple(o.replace(**saved) if o.target in names else o for o in candidates.options)
        return candidates.replace(targets=targets, options=options)

    both, layers = timed(_few(), ("layer", "attention")), timed(_few(), ("layer",))
    assert both.timed
    assert not layers.timed
    assert choose(both, "max-loss", 0.0015).attention == (_BLOCKS[0],)
    assert choose(both, "saved-share", 1.0).predicted_time_saved_s == pytest.approx(3e-3)
    found = choose(layers, "saved-share", 1.0)
    assert found.attention == ()
    assert found.predicted_time_saved_s == pytest.approx(2e-3)
    assert found.time_share == 1
    assert choose(layers, "max-loss", 1.0).objective == "flops"


def test_attention_alone_is_no_selection() -> None:
    with pytest.raises(RequestError, match="layers first"):
        choose(_candidates({FP8_ATTENTION: {_BLOCKS[0]: 0.001}}), "max-loss", 1.0)


def test_the_mixed_file_says_it_and_others_are_refused_with_the_reason() -> None:
    found = choose(_few(), "max-loss", 1.0)
    assert not found.fits_onediff
    assert found.layer_types == (TYPES[0],)
    ssims = dict.fromkeys(found.chosen, 0.9)
    layers = json.loads(mixed_file.render(found, ssims))["layers"]
    assert layers[_BLOCKS[0]]["quant_type"] == FP8_ATTENTION
    for export_format in EXPORT_FORMATS:
        with pytest.raises(RequestError) as caught:
            check_expressible(found, export_format)
        assert "attention of 1 block in fp8" in caught.value.cause
