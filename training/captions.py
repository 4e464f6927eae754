"""Pair emoji pictures with their names and write captions from them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TAGS = 3


@dataclass(frozen=True)
class Emoji:
    """One emoji: its code points, its label and the words people search it by."""

    code: str
    label: str
    tags: tuple[str, ...]


def normalize_code(code: str) -> str:
    """Return a code point sequence in lower case without variation selectors."""
    return code.lower().replace("-fe0f", "")


def index_names(entries: Iterable[Mapping[str, Any]]) -> dict[str, Emoji]:
    """Index emojibase entries and their skin-tone variants by normalized code."""
    index: dict[str, Emoji] = {}
    for entry in entries:
        tags = tuple(str(tag) for tag in entry.get("tags", ()))
        for variant in (entry, *entry.get("skins", ())):
            code = normalize_code(str(variant["hexcode"]))
            index[code] = Emoji(code, str(variant["label"]), tags)
    return index


def pair(file_stems: Iterable[str], names: Mapping[str, Emoji]) -> list[tuple[str, Emoji]]:
    """Pair each picture's file stem with its emoji, leaving out pictures without a name."""
    stems = sorted(file_stems)
    return [(stem, names[code]) for stem in stems if (code := normalize_code(stem)) in names]


def caption(label: str, tags: Sequence[str] = ()) -> str:
    """Join a label and tags as the pipeline will see them: in lower case."""
    return ", ".join((label, *tags)).lower().strip()


def caption_variants(emoji: Emoji, count: int, rng: random.Random) -> list[str]:
    """Return the bare label followed by `count` captions with one to three random tags."""
    variants = [caption(emoji.label)]
    for _ in range(count):
        size = min(len(emoji.tags), rng.randint(1, MAX_TAGS))
        variants.append(caption(emoji.label, rng.sample(emoji.tags, size)))
    return variants
