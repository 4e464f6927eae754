"""Derives a layer's role in a deployment from its name."""

from __future__ import annotations

from typing import Final

_SHARED_INPUT: Final = (".attn1.to_q", ".attn1.to_k", ".attn1.to_v")
_SHARED_TEXT: Final = (".attn2.to_k", ".attn2.to_v")


def fused_group(fqn: str) -> str | None:
    """The group whose rows a fused deployment quantizes once, None for a layer on its own."""
    for ending in _SHARED_INPUT:
        if fqn.endswith(ending):
            return fqn.removesuffix(ending) + ".attn1"
    return None


def is_attention(fqn: str) -> bool:
    """Whether a target is the self-attention of a block, and no layer."""
    return fqn.endswith(".attn1")


def reads_text(fqn: str) -> bool:
    """Whether a layer makes the keys or values of cross-attention from the text."""
    return fqn.endswith(_SHARED_TEXT)


def depends_on_text_alone(fqn: str) -> bool:
    """Whether a layer is computed once an image, and not at every step."""
    return reads_text(fqn) or fqn.startswith("caption_projection.")
