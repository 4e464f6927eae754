"""The quant types of nexfort: their names, parsed into what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from itertools import product
from typing import Final, Literal

from pixart_tui.domain.errors import RequestError

ExecutionName = Literal["simulated", "real"]
"""How a quantized layer is computed: by the reference numerics, or by the kernel of deployment."""

DtypeName = Literal["float32", "bfloat16"]
"""The dtype of the model around the quantized layers."""

INT4_GROUP_SIZE: Final = 128
"""Weights that share one int4 scale: torchao's default, along the input features."""

FP8_ATTENTION: Final = "fp8_attention"
"""The name of fp8 self-attention in profiles and selections. It is no quant type of a
linear layer: nexfort has none for attention."""


class NumberFormat(StrEnum):
    """A number format that a tensor is quantized to."""

    INT4 = "int4"
    INT8 = "int8"
    E4M3 = "e4m3"
    E5M2 = "e5m2"

    @property
    def is_fp8(self) -> bool:
        """Whether the format is one of the two 8-bit floating-point formats."""
        return self in (NumberFormat.E4M3, NumberFormat.E5M2)


class Granularity(StrEnum):
    """How many values share one scale."""

    PER_AXIS = "per_axis"
    """One scale per token of the activation, one per output channel of the weight."""

    PER_TENSOR = "per_tensor"
    """One scale for the whole tensor."""

    PER_GROUP = "per_group"
    """One scale per group of consecutive input features of one output channel (int4 weights)."""


@dataclass(frozen=True, slots=True)
class QuantType:
    """The formats of weight and activation under one quant type.

    Attributes:
        name: nexfort's name for it, ``fp8_e4m3_e4m3_dynamic`` for example.
        weight: Format of the weight.
        activation: Format of the activation, scaled at run time; None leaves it as it is.
        granularity: How many values share a scale.
        group_size: Input features that share a scale, only with ``PER_GROUP``.
    """

    name: str
    weight: NumberFormat
    activation: NumberFormat | None
    granularity: Granularity
    group_size: int | None = None

    @property
    def weight_only(self) -> bool:
        """Whether activations stay in the compute dtype."""
        return self.activation is None


def parse_quant_type(name: str) -> QuantType:
    """The quant type with that name.

    Args:
        name: One of ``QUANT_TYPE_NAMES``.

    Raises:
        RequestError: There is no such quant type; it names the closest ones.
    """
    quant_type = _BY_NAME.get(name)
    if quant_type is None:
        raise _unknown(name)
    return quant_type


def coarsest(quant_types: Sequence[QuantType]) -> QuantType:
    """The one whose rounding changes a layer's output most."""

    def rank(quant_type: QuantType) -> tuple[float, bool]:
        formats = [x for x in (quant_type.activation, quant_type.weight) if x is not None]
        per_tensor = quant_type.granularity is Granularity.PER_TENSOR
        return sum(_ROUNDING[x] ** 2 for x in formats), per_tensor

    return max(quant_types, key=rank)


def default_profile_filename(quant_type_name: str) -> str:
    """The file name under which OneDiff publishes a profile of this quant type."""
    return _PUBLISHED_FILENAMES.get(quant_type_name, f"{quant_type_name}.json")


def _unknown(name: str) -> RequestError:
    closest = get_close_matches(name, QUANT_TYPE_NAMES, n=3, cutoff=0.5) or QUANT_TYPE_NAMES[:3]
    return RequestError(
        f"there is no quant type {name!r}",
        cause="a quant type is int8_dynamic, int8_weightonly, int4_weightonly, fp8_W_weightonly or "
        "fp8_A_W_{dynamic,weightonly}[_per_tensor], with e4m3 or e5m2 for A and W",
        next_step=f"try {', '.join(closest)}",
    )


def _every_quant_type() -> Iterator[QuantType]:
    """Every quant type that nexfort's quantizer accepts, the most used first."""
    yield from _fp8_pairs()
    yield from (
        QuantType(f"fp8_{weight}_weightonly", weight, None, Granularity.PER_AXIS) for weight in _FP8
    )
    int4, int8 = NumberFormat.INT4, NumberFormat.INT8
    yield QuantType("int8_dynamic", int8, int8, Granularity.PER_AXIS)
    yield QuantType("int8_weightonly", int8, None, Granularity.PER_AXIS)
    yield QuantType("int4_weightonly", int4, None, Granularity.PER_GROUP, INT4_GROUP_SIZE)


def _fp8_pairs() -> Iterator[QuantType]:
    """The types that name two formats; nexfort writes the activation's format first."""
    scopes = (("", Granularity.PER_AXIS), ("_per_tensor", Granularity.PER_TENSOR))
    for (suffix, granularity), activation, weight in product(scopes, _FP8, _FP8):
        stem = f"fp8_{activation}_{weight}"
        yield QuantType(f"{stem}_dynamic{suffix}", weight, activation, granularity)
        yield QuantType(f"{stem}_weightonly{suffix}", weight, None, granularity)


_ROUNDING: Final = {
    NumberFormat.INT8: 0.007,
    NumberFormat.E4M3: 0.026,
    NumberFormat.E5M2: 0.051,
    NumberFormat.INT4: 0.099,
}
"""Root mean square of what rounding changes in normal values, of theirs."""
_FP8: Final = (NumberFormat.E4M3, NumberFormat.E5M2)
_BY_NAME: Final = {quant_type.name: quant_type for quant_type in _every_quant_type()}
_PUBLISHED_FILENAMES: Final = {
    "fp8_e4m3_e4m3_dynamic": "fp8_e4m3.json",
    "fp8_e4m3_e4m3_dynamic_per_tensor": "per_tensor_fp8_e4m3.json",
}

QUANT_TYPE_NAMES: Final[tuple[str, ...]] = tuple(_BY_NAME)
"""Every accepted name."""
