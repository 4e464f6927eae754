"""How long linear layers take, unquantized and quantized, and where quantizing pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.values import Value

NO_GAIN_MARK: Final = "≈"
"""Marks a layer that quantizing makes no faster, in tables and on screens."""


class LinearShape(Value):
    """The shape of a linear layer's product, which decides its time; many layers share one.

    Attributes:
        rows: M of the matrix product.
        in_features: K.
        out_features: N.
        has_bias: Whether a bias is added.
    """

    rows: int
    in_features: int
    out_features: int
    has_bias: bool

    @classmethod
    def of(cls, layer: Layer) -> LinearShape:
        """A layer's shape, with the rows of one denoising step of one image."""
        return cls(
            rows=layer.rows,
            in_features=layer.in_features,
            out_features=layer.out_features,
            has_bias=layer.has_bias,
        )


class Latency(Value):
    """Measured time of one linear layer in one denoising step of one image.

    Attributes:
        unquantized: Seconds in bfloat16, the median over repeats.
        quantized: Seconds in the quant type, quantizing the activation included; None where its
            kernel does not run this shape.
        noise: Seconds that the median of ``unquantized - quantized`` is uncertain by.
        reason: Why there is no quantized time; empty otherwise.
    """

    unquantized: float
    quantized: float | None = None
    noise: float = 0.0
    reason: str = ""

    @property
    def saved(self) -> float:
        """Seconds that quantizing saves; negative where it costs, 0 where it cannot be done."""
        return 0.0 if self.quantized is None else self.unquantized - self.quantized

    @property
    def speeds_up(self) -> bool:
        """Whether quantizing saves more time than the measurement is uncertain by."""
        return self.saved > self.noise


def latency_by_layer(
    layers: Sequence[Layer], by_shape: Mapping[LinearShape, Latency]
) -> dict[str, Latency]:
    """Each layer's latency from that of its shape; layers of unknown shapes are left out."""
    shapes = {layer.fqn: LinearShape.of(layer) for layer in layers}
    return {fqn: by_shape[shape] for fqn, shape in shapes.items() if shape in by_shape}


def layers_that_pay(layers: Sequence[Layer], latencies: Mapping[str, Latency]) -> tuple[str, ...]:
    """The layers that are faster quantized, in the model's order.

    Args:
        layers: Every layer of the model.
        latencies: Layer to latency; a layer without one does not pay.
    """
    known = {layer.fqn: latencies.get(layer.fqn) for layer in layers}
    return tuple(fqn for fqn, latency in known.items() if latency is not None and latency.speeds_up)
