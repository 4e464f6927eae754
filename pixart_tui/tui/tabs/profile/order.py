"""Which layers the table shows, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus, ranked

_DIGITS: Final = re.compile(r"(\d+)")
_BLOCKS: Final = re.compile(r"(\d+)(?:-(\d+))?")
_IN_BLOCK: Final = "transformer_blocks."


class Sort(StrEnum):
    """The order of the layers; the value is the column's name."""

    RANK = "rank"
    NAME = "name"
    BLOCK = "block"
    SHARE = "share"
    SAVED = "saved"

    def next(self, *, timed: bool) -> Sort:
        """The next one; by time only where layers are timed."""
        known = [sort for sort in Sort if timed or sort is not Sort.SAVED]
        return known[(known.index(self) + 1) % len(known)] if self in known else Sort.RANK


def ordered(scores: Sequence[LayerScore], sort: Sort) -> list[LayerScore]:
    """Every layer once, sorted.

    By rank: those that broke the image, then the most sensitive first, then those to come and the
    excluded. By block: within a block the most sensitive first. Equal layers keep the model's
    order; those without the figure come last.
    """
    if sort is Sort.NAME:
        return sorted(scores, key=lambda score: _natural(score.layer.fqn))
    by_rank = _by_rank(scores)
    if sort is Sort.BLOCK:
        return sorted(by_rank, key=_block_key)
    if sort is Sort.SHARE:
        return sorted(by_rank, key=lambda score: -score.layer.flops)
    if sort is Sort.SAVED:
        return sorted(by_rank, key=_saved_key)
    return by_rank


def _by_rank(scores: Sequence[LayerScore]) -> list[LayerScore]:
    def with_status(status: LayerStatus) -> list[LayerScore]:
        return [score for score in scores if score.status is status and score.ssim is None]

    measured = ranked(scores)
    broken, excluded = with_status(LayerStatus.NOT_FINITE), with_status(LayerStatus.EXCLUDED)
    return [*broken, *measured, *with_status(LayerStatus.PENDING), *excluded]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers by value: block 2 before block 10."""
    parts = _DIGITS.split(name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def _block_key(score: LayerScore) -> tuple[bool, int]:
    block = score.layer.block
    return (block is None, block or 0)


def _saved_key(score: LayerScore) -> tuple[bool, float]:
    latency = score.latency_s
    return (latency is None, -latency.saved if latency else 0.0)


@dataclass(frozen=True, slots=True)
class Filter:
    """Words that a layer's name must all match.

    A word is a part of the name, a pattern with ``*`` and ``?`` of the whole name, with or without
    the name of the blocks before it, ``block:3``, ``block:3-5``, or ``type:to_q``, a part of the
    name within the block.

    Attributes:
        text: What was typed.
    """

    text: str = ""

    @property
    def empty(self) -> bool:
        """Whether the filter lets every layer through."""
        return not self.text.strip()

    def keeps(self, layer: Layer) -> bool:
        """Whether a layer passes."""
        return all(_matches(word, layer) for word in self.text.casefold().split())

    def kept(self, scores: Iterable[LayerScore]) -> list[LayerScore]:
        """The layers that pass, in their order."""
        return [score for score in scores if self.keeps(score.layer)]


def _matches(word: str, layer: Layer) -> bool:
    kind, colon, value = word.partition(":")
    if colon and kind == "block":
        return _in_blocks(value, layer.block)
    if colon and kind == "type":
        return _named(value, layer.kind)
    return _named(word, layer.fqn)


def _in_blocks(value: str, block: int | None) -> bool:
    """Whether a block is one of those; what is not typed to its end yet lets all of them pass."""
    found = _BLOCKS.fullmatch(value.removesuffix("-"))
    if found is None:
        return not value
    first, last = int(found[1]), int(found[2] or found[1])
    return block is not None and first <= block <= last


def _named(word: str, name: str) -> bool:
    name = name.casefold()
    if "*" in word or "?" in word:
        return fnmatchcase(name, word) or fnmatchcase(name.removeprefix(_IN_BLOCK), word)
    return word in name
