from __future__ import annotations

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.quantized_layers import choose_layers
from tests.samples import QUANT_TYPE, layer

_LAYERS = (layer("a"), layer("b"), layer("odd", size=40))


def test_without_a_wish_every_layer_that_the_kernels_can_run() -> None:
    found = choose_layers(QUANT_TYPE, None, _LAYERS)
    assert found.layers == ("a", "b")
    assert list(found.skipped) == ["odd"]


def test_a_wish_says_which_and_in_which_order() -> None:
    assert choose_layers(QUANT_TYPE, ("b", "a"), _LAYERS).layers == ("b", "a")
    assert choose_layers(QUANT_TYPE, ("b", "a"), _LAYERS).note == ""


def test_what_was_skipped_is_named_with_its_reason() -> None:
    found = choose_layers(QUANT_TYPE, ("b", "odd"), _LAYERS)
    assert found.layers == ("b",)
    assert found.note.startswith("1 layers skipped (odd: torch._scaled_mm needs multiples of 16")


def test_names_that_the_model_does_not_have_are_named() -> None:
    with pytest.raises(RequestError, match="does not have") as caught:
        choose_layers(QUANT_TYPE, ("a", "x", "y", "z", "w"), _LAYERS)
    assert caught.value.cause == "x, y, z and 1 more"


@pytest.mark.parametrize("wanted", [(), ("odd",)])
def test_nothing_left_is_refused(wanted: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="no layer would be quantized"):
        choose_layers(QUANT_TYPE, wanted, _LAYERS)
