from __future__ import annotations

import pytest

from pixart_tui.domain.deploying.quantized_layers import ChosenLayers, choose_layers
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from tests.samples import QUANT_TYPE, layer

_LAYERS = (layer("a"), layer("b"), layer("odd", size=40))


def _chosen(*names: str) -> ChosenLayers:
    return choose_layers(Choice.of_one(QUANT_TYPE, names), _LAYERS)


def test_what_is_chosen_is_every_layer_that_the_kernels_can_run() -> None:
    found = _chosen("a", "b", "odd")
    assert tuple(found.choice.assignments) == ("a", "b")
    assert list(found.skipped) == ["odd"]


def test_a_wish_says_which_and_in_which_order() -> None:
    assert tuple(_chosen("b", "a").choice.assignments) == ("b", "a")
    assert _chosen("b", "a").note == ""


def test_what_was_skipped_is_named_with_its_reason() -> None:
    found = _chosen("b", "odd")
    assert found.choice == Choice.of_one(QUANT_TYPE, ["b"])
    assert found.note.startswith("1 layers skipped (odd: torch._scaled_mm needs multiples of 16")


def test_names_that_the_model_does_not_have_are_named() -> None:
    with pytest.raises(RequestError, match="does not have") as caught:
        _chosen("a", "x", "y", "z", "w")
    assert caught.value.cause == "x, y, z and 1 more"


@pytest.mark.parametrize("wanted", [(), ("odd",)])
def test_nothing_left_is_refused(wanted: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="no layer would be quantized"):
        _chosen(*wanted)


def test_each_layer_is_judged_by_its_own_quant_type() -> None:
    """fp8 products need multiples of 16, which a weight-only type does not."""
    wanted = Choice(
        assignments={"a": QUANT_TYPE, "odd": QUANT_TYPE, "b": "int8_weightonly"},
        kept_steps=KeptSteps(numbers=(2,)),
        at_every_step=("odd", "b"),
    )
    found = choose_layers(wanted, _LAYERS)
    assert found.choice == Choice(
        assignments={"a": QUANT_TYPE, "b": "int8_weightonly"},
        kept_steps=KeptSteps(numbers=(2,)),
        at_every_step=("b",),
    )
    assert list(found.skipped) == ["odd"]
