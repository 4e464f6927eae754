from __future__ import annotations

import pytest

from pixart_tui.domain.layers.latency import Latency, LinearShape, latency_by_layer, layers_that_pay
from tests.samples import layer


def test_quantizing_pays_only_where_it_saves_more_than_the_noise() -> None:
    assert Latency(unquantized=1.0, quantized=0.8, noise=0.1).speeds_up
    assert not Latency(unquantized=1.0, quantized=0.95, noise=0.1).speeds_up
    assert not Latency(unquantized=1.0, quantized=1.0).speeds_up
    assert not Latency(unquantized=1.0, quantized=1.3).speeds_up


def test_a_layer_that_cannot_be_quantized_saves_nothing() -> None:
    alone = Latency(unquantized=1.0, reason="N = 30 is no multiple of 16")
    assert not alone.speeds_up
    assert alone.saved == 0.0


def test_what_quantizing_costs_is_a_negative_saving() -> None:
    assert Latency(unquantized=1.0, quantized=1.5).saved == pytest.approx(-0.5)


def test_layers_of_one_shape_share_its_latency() -> None:
    layers = (layer("a"), layer("b"), layer("wide", size=512))
    latency = Latency(unquantized=2.0, quantized=1.0)
    assert latency_by_layer(layers, {LinearShape.of(layers[1]): latency}) == {
        "a": latency,
        "b": latency,
    }


def test_layers_that_pay_stand_in_the_models_order_and_unknown_ones_do_not() -> None:
    fast, slow = Latency(unquantized=2.0, quantized=1.0), Latency(unquantized=1.0, quantized=2.0)
    layers = [layer(fqn) for fqn in ("d", "a", "c", "b")]
    assert layers_that_pay(layers, {"a": fast, "c": slow, "d": fast}) == ("d", "a")
