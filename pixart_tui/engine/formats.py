"""The number formats in torch: largest values, rounding to their grids, saturating casts."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import NumberFormat

INT8_RANGE: Final = (-128, 127)
"""torchao's ``Int8Tensor`` clamps to the whole range, not to the symmetric [-127, 127]."""

INT4_RANGE: Final = (0, 15)
"""tinygemm's int4 weights are unsigned, with a floating-point zero point."""

_FLOAT32_EXPONENT_MASK: Final = 0x7F800000
_FLOAT32_MANTISSA_BITS: Final = 23


class Fp8Format(NamedTuple):
    """One 8-bit floating-point format.

    Attributes:
        dtype: The torch dtype.
        largest: Largest finite value.
        smallest_normal: Below it the grid is evenly spaced.
        mantissa_bits: Bits after the leading one.
    """

    dtype: torch.dtype
    largest: float
    smallest_normal: float
    mantissa_bits: int


FP8_FORMATS: Final = {
    NumberFormat.E4M3: Fp8Format(torch.float8_e4m3fn, 448.0, 2.0**-6, 3),
    NumberFormat.E5M2: Fp8Format(torch.float8_e5m2, 57344.0, 2.0**-14, 2),
}


def saturating_cast(values: Tensor, number_format: NumberFormat) -> Tensor:
    """``values`` as an fp8 tensor: rounded to nearest even, too large ones to the largest.

    NaN stays NaN. The clamp stands before the cast because torch's own overflow differs by
    version and format (NaN, infinity or the largest value).

    Args:
        values: Floating-point tensor of any shape.
        number_format: E4M3 or E5M2.
    """
    fp8 = FP8_FORMATS[number_format]
    return values.clamp(-fp8.largest, fp8.largest).to(fp8.dtype)


def round_to_fp8_(values: Tensor, number_format: NumberFormat) -> Tensor:
    """Rounds float32 ``values`` in place to what ``saturating_cast`` would store, as float32.

    Adding and subtracting 1.5 * 2**23 grid steps rounds to nearest even exactly, and on a CPU
    faster than the two casts, whose way back to float32 is not vectorized. A zero always comes
    out as +0.

    Args:
        values: float32 tensor, contiguous or not; it is overwritten.
        number_format: E4M3 or E5M2.

    Returns:
        ``values``.
    """
    fp8 = FP8_FORMATS[number_format]
    values.clamp_(-fp8.largest, fp8.largest)
    exponent = values.view(torch.int32).bitwise_and(_FLOAT32_EXPONENT_MASK).view(torch.float32)
    steps = 1.5 * 2.0 ** (_FLOAT32_MANTISSA_BITS - fp8.mantissa_bits)
    magic = exponent.clamp_min_(fp8.smallest_normal).mul_(steps)
    return values.add_(magic).sub_(magic)


def round_to_int8_(values: Tensor) -> Tensor:
    """Rounds floating-point ``values`` in place to the int8 grid: nearest even, then clamped."""
    return values.round_().clamp_(*INT8_RANGE)
