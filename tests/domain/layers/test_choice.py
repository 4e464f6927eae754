from __future__ import annotations

import pytest

from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice, spell_kept
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.selecting.fusing import refuse_unfusable

_FP8, _TENSOR, _INT8 = "fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor", "int8_dynamic"
_Q, _K = "transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn1.to_k"
_TEXT = ("transformer_blocks.0.attn2.to_k", "transformer_blocks.3.attn2.to_v")


def test_a_deployments_name_says_that_there_are_several_types() -> None:
    one = Choice.of_one(_INT8, [_Q, _K])
    several = Choice(assignments={_Q: _INT8, _K: _FP8}, kept_steps=KeptSteps(numbers=(2, 3)))
    labels = [Deployment(choice=choice).label for choice in (Choice(), one, several)]
    assert labels == ["none", "none+int8_dynamic", "none+mixed+keep-2-3"]
    assert several.layers_by_type == {_INT8: 1, _FP8: 1}


def test_equal_choices_have_one_hash() -> None:
    one = Choice(assignments={_Q: _INT8, _K: _FP8})
    other = Choice(assignments={_K: _FP8, _Q: _INT8})
    assert one == other
    assert len({Deployment(choice=one), Deployment(choice=other)}) == 1


def test_weights_are_there_twice_of_what_is_not_quantized_at_every_step() -> None:
    layers = (_Q, _K, *_TEXT)
    choice = Choice.of_one(_INT8, layers, KeptSteps(last=1))
    choice = choice.replace(at_every_step=(_K, _TEXT[0]))
    assert Deployment(choice=choice).doubled_layers == (_Q,)
    assert choice.through_kept_steps == (_K,)
    assert Deployment(choice=Choice.of_one(_INT8, layers)).doubled_layers == ()


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (0, "nothing is quantized"),
        (1, "only 1 layer is quantized"),
        (2, "only 2 layers are quantized"),
    ],
)
def test_kept_steps_in_words(layers: int, said: str) -> None:
    assert spell_kept(KeptSteps(last=2), 20, layers) == f"{said} at the last 2 of 20 steps"


@pytest.mark.parametrize("pair", [(_Q, _K), _TEXT])
@pytest.mark.parametrize("other", [_INT8, _TENSOR])
def test_layers_that_read_the_same_rows_cannot_have_them_quantized_in_two_ways(
    pair: tuple[str, str], other: str
) -> None:
    with pytest.raises(RequestError, match="fused kernels cannot run") as raised:
        refuse_unfusable(Choice(assignments=dict(zip(pair, (_FP8, other), strict=True))))
    assert f"{pair[0]} is {_FP8} and {pair[1]} {other}" in raised.value.cause
    assert "select --fused" in raised.value.next_step


@pytest.mark.parametrize("other", ["int8_weightonly", "fp8_e4m3_e5m2_dynamic", _FP8])
def test_other_weights_go_with_the_same_rows(other: str) -> None:
    refuse_unfusable(Choice(assignments={_Q: _FP8, _K: other, "proj_out": _INT8}))
