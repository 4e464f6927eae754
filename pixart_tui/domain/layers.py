"""What a profile measures and a selection decides about: the linear layers of the transformer."""

from __future__ import annotations

import re
from typing import Final

from pixart_tui.domain.values import Value

_BLOCK_PATTERN: Final = re.compile(r"^transformer_blocks\.(\d+)\.(.+)$")


class Layer(Value):
    """One ``nn.Linear`` of the transformer.

    Attributes:
        fqn: Name relative to ``transformer`` in the unfused model.
        in_features: K of the matrix product.
        out_features: N of the matrix product.
        has_bias: Whether a bias is added.
        rows: Rows (M) that it multiplies in one denoising step of one image, guidance included.
    """

    fqn: str
    in_features: int
    out_features: int
    has_bias: bool
    rows: int

    @property
    def flops(self) -> int:
        """Floating-point operations in one denoising step of one image (2 M K N)."""
        return 2 * self.rows * self.in_features * self.out_features

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
