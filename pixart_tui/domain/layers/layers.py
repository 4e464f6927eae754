"""Layers of a model: linear layers and self-attention, the targets of profiles and selections."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from pixart_tui.domain.values import Value

_LARGEST: Final = 2**31 - 1
_BLOCK_PATTERN: Final = re.compile(r"^transformer_blocks\.(\d+)\.(.+)$")


class Layer(Value):
    """One ``nn.Linear`` of the transformer, or the two products of a block's self-attention.

    Attributes:
        fqn: Name relative to ``transformer`` in the unfused model; of attention, its module's.
        in_features: K of the matrix product; of attention, the keys that each query meets.
        out_features: N of the matrix product; of attention, the channels of all heads.
        has_bias: Whether a bias is added.
        rows: Rows (M) that it multiplies in one denoising step of one image, guidance included; of
            attention, its queries.
        heads: Of attention; 0 of a linear layer.
        operation: ``linear``, or ``attention``: queries times keys and probabilities times values.
    """

    fqn: str
    in_features: Annotated[int, Field(ge=1, le=_LARGEST)]
    out_features: Annotated[int, Field(ge=1, le=_LARGEST)]
    has_bias: bool
    rows: Annotated[int, Field(ge=0, le=_LARGEST)]
    heads: int = 0
    operation: Literal["linear", "attention"] = "linear"

    @property
    def flops(self) -> int:
        """Floating-point operations in one denoising step of one image.

        2 M K N of a linear layer; 4 M K N of attention, whose two products are of that size.
        """
        products = 2 if self.operation == "attention" else 1
        return 2 * products * self.rows * self.in_features * self.out_features

    @property
    def block(self) -> int | None:
        """Index of the transformer block that holds it, None outside the blocks."""
        match = _BLOCK_PATTERN.match(self.fqn)
        return int(match.group(1)) if match else None

    @property
    def kind(self) -> str:
        """Name within its block (``attn1.to_q``), or the whole name outside the blocks."""
        match = _BLOCK_PATTERN.match(self.fqn)
        return match.group(2) if match else self.fqn
