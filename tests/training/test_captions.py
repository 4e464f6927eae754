"""Pairing pictures with names, captions and vocabulary: the pure parts of the training."""

from __future__ import annotations

import random
from typing import Any

from training.captions import Emoji, caption, caption_variants, index_names, normalize_code, pair
from training.vocabulary import LETTER_SCORE, SPACE, build_tokenizer, build_vocabulary, pieces

ENTRIES: list[dict[str, Any]] = [
    {"label": "red apple", "hexcode": "1F34E", "tags": ["fruit", "food"]},
    {
        "label": "waving hand",
        "hexcode": "1F44B-FE0F",
        "tags": ["hello"],
        "skins": [{"label": "waving hand: dark skin tone", "hexcode": "1F44B-1F3FF"}],
    },
    {"label": "flag: Japan", "hexcode": "1F1EF-1F1F5"},
]


def test_variation_selectors_do_not_part_a_picture_from_its_name() -> None:
    assert normalize_code("1F44B-FE0F-200D") == "1f44b-200d"


def test_pictures_are_paired_in_order_and_strangers_are_left_out() -> None:
    stems = ["1f44b-1f3ff", "1f34e", "unknown", "1f44b"]
    labels = [emoji.label for _, emoji in pair(stems, index_names(ENTRIES))]
    assert labels == ["red apple", "waving hand", "waving hand: dark skin tone"]


def test_skin_tones_inherit_the_tags() -> None:
    assert index_names(ENTRIES)["1f44b-1f3ff"].tags == ("hello",)


def test_captions_are_lower_case_like_the_prompts_that_the_pipeline_sees() -> None:
    assert caption("flag: Japan", ["Asia"]) == "flag: japan, asia"


def test_variants_begin_with_the_bare_label_and_repeat_for_a_seed() -> None:
    emoji = Emoji("1f34e", "red apple", ("fruit", "food", "tree", "diet"))
    variants = caption_variants(emoji, 5, random.Random(0))
    assert variants[0] == "red apple"
    assert variants == caption_variants(emoji, 5, random.Random(0))
    assert all(1 <= text.count(",") <= 3 for text in variants[1:])


def test_an_emoji_without_tags_is_captioned_with_its_label() -> None:
    variants = caption_variants(Emoji("1f34e", "red apple", ()), 2, random.Random(0))
    assert variants == ["red apple"] * 3


def test_pieces_mark_the_start_of_a_word() -> None:
    found = pieces("hand: Medium-light 10")
    assert found == [
        f"{SPACE}hand", ":", f"{SPACE}medium", "-", "light", f"{SPACE}1", "0",
    ]  # fmt: skip


def test_the_vocabulary_holds_each_piece_once_and_prefers_words_to_letters() -> None:
    vocabulary = build_vocabulary(["red apple", "red heart"])
    scores = dict(vocabulary)
    assert len(scores) == len(vocabulary)
    assert scores[f"{SPACE}red"] > scores["r"] == LETTER_SCORE


def test_the_tokenizer_keeps_known_words_whole_and_spells_unknown_ones() -> None:
    tokenizer = build_tokenizer(["red apple: medium-light"], max_length=32)
    assert tokenizer.tokenize("red apple") == [f"{SPACE}red", f"{SPACE}apple"]
    assert tokenizer.unk_token_id not in tokenizer("red zebra").input_ids
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]
