"""A word vocabulary for a stock `T5Tokenizer`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transformers import T5Tokenizer

SPACE = "\u2581"
SPECIAL = ("<pad>", "</s>", "<unk>")
WORD_SCORE = -1.0
# A letter costs more than any word, so that a known word is never spelled out.
LETTER_SCORE = -10.0
_PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")


def pieces(text: str) -> list[str]:
    """Split lower-case text into words, digits and signs; a word's first piece is marked."""
    found: list[str] = []
    for word in text.lower().split():
        first, *rest = _PIECE.findall(word) or [word]
        found += [SPACE + first, *rest]
    return found


def build_vocabulary(captions: Iterable[str]) -> list[tuple[str, float]]:
    """Return scored pieces: the special tokens, every piece of the captions, single letters."""
    words = {piece for text in captions for piece in pieces(text)}
    letters = {letter for word in words for letter in word} | set("abcdefghijklmnopqrstuvwxyz")
    scored = [(token, 0.0) for token in SPECIAL]
    scored += [(word, WORD_SCORE) for word in sorted(words)]
    return scored + [(letter, LETTER_SCORE) for letter in sorted(letters - words)]


def build_tokenizer(captions: Iterable[str], max_length: int) -> T5Tokenizer:
    """Return a stock T5 tokenizer that knows the words of the captions."""
    vocabulary = build_vocabulary(captions)
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=max_length)
