"""Reads and writes the loss of fp8 attention in each block; no reader takes it for OneDiff's JSON.

OneDiff reads an object of layers and would look for linear layers of these names; it fails at the
first line of this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value, parse_json


class AttentionProfile(Value):
    """``fp8_attention.json``.

    Attributes:
        format: What tells it from a OneDiff file.
        blocks: Attention module to its SSIM alone in fp8, at most 1, least sensitive first.
    """

    format: str = "pixart-tui attention profile 1"
    blocks: Mapping[str, float]


FORMAT: Final[str] = AttentionProfile.model_fields["format"].default


def render(ssim_by_block: Mapping[str, float]) -> str:
    """The file's text."""
    ordered = sorted(ssim_by_block.items(), key=lambda item: item[1], reverse=True)
    found = AttentionProfile(blocks={name: min(ssim, 1.0) for name, ssim in ordered})
    return found.model_dump_json(indent=1) + "\n"


def is_attention(text: str) -> bool:
    """Whether a file's text is that of an attention profile."""
    try:
        content = parse_json(text)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def refusal(source: str) -> RequestError:
    """Layers are wanted, and the file holds attention."""
    return RequestError(
        f"{source} holds no layers",
        cause="it says what fp8 attention costs in each block, which is not OneDiff's to read",
        next_step="give the JSON of a quant type; pixart-tui select takes this one beside it",
    )
