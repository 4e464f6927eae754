"""Finds how a model reads prompts: where it cuts them off, and which are the same to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pixart_tui.domain.events import Noticed
from pixart_tui.engine.typing import Pipeline

_NAMED: Final = 3
"""Prompts that are told one by one; a file may hold hundreds."""
_SHOWN_PART: Final = 24


@dataclass(frozen=True)
class PromptReader:
    """Reads prompts as the pipeline's ``encode_prompt`` does.

    Attributes:
        pipeline: A PixArt pipeline.
        tokens: Tokens that every prompt is cut or padded to.
        clean_caption: Whether the pipeline is asked to clean captions.
    """

    pipeline: Pipeline
    tokens: int
    clean_caption: bool = False
    _known: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def same(self, prompts: Sequence[str]) -> dict[str, str]:
        """Each prompt to the first one that the model reads the same tokens of."""
        first: dict[tuple[int, ...], str] = {}
        return {prompt: first.setdefault(self._read(prompt), prompt) for prompt in prompts}

    def distinct(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """The prompts without those that are to the model what an earlier one is."""
        return tuple(dict.fromkeys(self.same(prompts).values()))

    def notices(self, prompts: Sequence[str], negative_prompt: str = "") -> Iterator[Noticed]:
        """A sentence for each prompt that is cut, or that the model reads the same as another."""
        prompts = tuple(dict.fromkeys(prompts))
        cut = [prompt for prompt in prompts if self._cut_off(prompt)]
        for prompt in cut[:_NAMED]:
            named = f"the prompt {_quoted(prompt)}" if len(prompts) > 1 else "the prompt"
            yield self._notice(named, prompt)
        if len(cut) > _NAMED:
            more = f"{len(cut) - _NAMED} more of {len(prompts)} prompts"
            yield Noticed(text=f"{more} are cut to the {self.tokens} tokens that this model reads")
        if self._cut_off(negative_prompt):
            yield self._notice("the negative prompt", negative_prompt)
        same = [(prompt, first) for prompt, first in self.same(prompts).items() if prompt != first]
        for prompt, first in same[:_NAMED]:
            both = f"{_quoted(prompt)} as {_quoted(first)}"
            yield Noticed(text=f"this model reads {both}: they count as one prompt")
        if len(same) > _NAMED:
            more = f"{len(same) - _NAMED} more of {len(prompts)} prompts"
            yield Noticed(text=f"{more} are read as an earlier one: they count as one prompt")

    def _notice(self, named: str, prompt: str) -> Noticed:
        count = len(self._ids(prompt))
        cut_off = self._cut_off(prompt)
        return Noticed(
            text=f"{named} has {count} tokens, and this model reads {self.tokens}: "
            f"{cut_off!r} is cut off"
        )

    def _cut_off(self, prompt: str) -> str:
        """Returns the text that the model does not read; the last token it reads is an end mark."""
        ids = self._ids(prompt)
        if len(ids) <= self.tokens:
            return ""
        return str(self.pipeline.tokenizer.decode(ids[self.tokens - 1 : -1]))

    def _read(self, prompt: str) -> tuple[int, ...]:
        ids = self._ids(prompt)
        return ids if len(ids) <= self.tokens else (*ids[: self.tokens - 1], ids[-1])

    def _ids(self, prompt: str) -> tuple[int, ...]:
        if prompt not in self._known:
            (text,) = self.pipeline._text_preprocessing(prompt, clean_caption=self.clean_caption)
            self._known[prompt] = tuple(self.pipeline.tokenizer(text).input_ids)
        return self._known[prompt]


def _quoted(prompt: str) -> str:
    """Its beginning and end: prompts that are cut to the same one begin alike."""
    if len(prompt) > 2 * _SHOWN_PART:
        prompt = f"{prompt[:_SHOWN_PART]}…{prompt[-_SHOWN_PART:]}"
    return f'"{prompt}"'
