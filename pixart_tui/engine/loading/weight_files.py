"""Which weight files of a component's folder belong together, and which of them are taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading.config_files import read_json

_PREFERRED: Final = ("fp32", "fp16", "bf16")
"""Variants from the most precise one; others follow by name."""
_INDEX_SUFFIX: Final = ".index.json"


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights that belong together: one file, or an index and the shards that it names.

    Attributes:
        path: The file, or the index.
        plain: The name that a single file without a variant has: ``model.safetensors``.
        variant: The variant that the name says, empty for none.
        is_index: Whether it is an index.
    """

    path: Path
    plain: str
    variant: str
    is_index: bool

    @property
    def standard_name(self) -> str:
        """The name that diffusers and transformers read without being told a variant."""
        return self.plain + _INDEX_SUFFIX if self.is_index else self.plain


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weight files of one component.

    Attributes:
        chosen: The set that they are.
        shards: The files with the weights, sorted.
        alone: Whether the folder holds no other set.
    """

    chosen: WeightSet
    shards: tuple[Path, ...]
    alone: bool = True

    @property
    def index(self) -> Path | None:
        """The file that says which tensor is in which shard, None for a single file."""
        return self.chosen.path if self.chosen.is_index else None

    @property
    def is_standard(self) -> bool:
        """Whether the libraries find these files, and no others, by themselves."""
        return self.alone and self.chosen.path.name == self.chosen.standard_name


def no_variant(model: str, variant: str, there: Sequence[str] = ()) -> RequestError:
    """The error where no part of a model has a variant."""
    named = f"; it has {', '.join(there)}" if there else ""
    return RequestError(
        f"the model has no variant {variant}",
        cause=f"{model} holds no weights such as diffusion_pytorch_model.{variant}.safetensors"
        + named,
        next_step="Leave out --variant, or name one that it has.",
    )


def weight_sets(folder: Path, names: Sequence[str], *, index_first: bool) -> tuple[WeightSet, ...]:
    """Every set of weights in a component's folder, the preferred one first.

    Indices are read by their name of today (``model.safetensors.index.fp16.json``) and by older
    ones (``model.safetensors.fp16.index.json``, ``model.fp16.safetensors.index.json``).

    Args:
        folder: The component's folder.
        names: Names of single files without a variant, the preferred one first.
        index_first: Whether an index goes before a single file: in diffusers it does, in
            transformers it does not.
    """
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    found: list[WeightSet] = []
    for plain in names:
        sets = [made for name in files if (made := _set_of(folder / name, plain)) is not None]
        found += sorted(sets, key=lambda x: (_rank(x.variant), x.is_index is not index_first))
    return tuple(found)


def _set_of(path: Path, plain: str) -> WeightSet | None:
    stem, _, suffix = (re.escape(part) for part in plain.rpartition("."))
    variant = r"(?:\.(?P<{}>(?!index\b)[\w-]+?))?"
    # A shard has its number where a variant may stand.
    single = rf"{stem}{variant.format('a')}\.{suffix}"
    after = rf"{single}{variant.format('b')}\.index{variant.format('c')}\.json"
    for pattern, is_index in ((single, False), (after, True)):
        match = re.fullmatch(pattern, path.name)
        if match is not None:
            named = next((text for text in match.groupdict().values() if text), "")
            if not re.search(r"(^|-)\d+-of-\d+$", named):
                return WeightSet(path, plain, named, is_index)
    return None


def _rank(variant: str) -> tuple[int, str]:
    if not variant:
        return (-1, "")
    known = _PREFERRED.index(variant) if variant in _PREFERRED else len(_PREFERRED)
    return (known, variant)


def choose_set(
    folder: Path, sets: Sequence[WeightSet], names: Sequence[str], variant: str
) -> WeightSet:
    """The set that is loaded: of the variant, else without a name, else the most precise one.

    Raises:
        RequestError: There is none.
    """
    for wanted in (variant, ""):
        named = [found for found in sets if found.variant == wanted]
        if named:
            return named[0]
    if sets:
        return min(sets, key=lambda found: _rank(found.variant))
    raise RequestError(
        "the model has no weights",
        cause=f"{folder} holds none of {', '.join(names)}, with or without .index.json",
        next_step="Copy or download its safetensors files; of a model of the Hub that has only "
        "some variant, name it: --variant fp16.",
    )


def choice_notes(folder: Path, sets: Sequence[WeightSet], chosen: WeightSet) -> list[str]:
    """What there is to say of a choice that could have been another one."""
    notes = []
    variants = sorted({found.variant for found in sets}, key=_rank)
    if chosen.variant and len(variants) > 1 and "" not in variants:
        others = " and ".join(x for x in variants if x != chosen.variant)
        notes.append(f"{folder.name}: the weights {chosen.variant} are used, beside {others}")
    twins = [x for x in sets if (x.plain, x.variant) == (chosen.plain, chosen.variant)]
    others = ", ".join(x.path.name for x in twins if x != chosen)
    if others:
        notes.append(
            f"{folder.name}: {chosen.path.name} is used, as from_pretrained does, not {others}"
        )
    return notes


def files_of(chosen: WeightSet, sets: Sequence[WeightSet]) -> WeightFiles:
    """The files of a set.

    Raises:
        RequestError: The index names no weights, or a shard that it names is missing.
    """
    shards = _shards(chosen.path) if chosen.is_index else (chosen.path,)
    return WeightFiles(chosen, shards, alone=len(sets) == 1)


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index).get("weight_map")
    names = sorted({str(x) for x in weight_map.values()}) if isinstance(weight_map, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise RequestError(
            "the index names no weights",
            cause=f"{index}: no weight_map of files beside it",
            next_step="Download or copy the file again.",
        )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise RequestError(
            "a shard of the model is missing",
            cause=f"{index.parent / missing[0]} is named in {index.name} and not there{more}",
            next_step="Download or copy the missing files; a stopped download leaves such gaps.",
        )
    return tuple(index.parent / name for name in names)


def use_instead(broken: WeightSet, whole: WeightSet) -> str:
    """The next step where another set of the folder would do."""
    there = f"{whole.path.name} beside it is whole"
    if whole.variant == broken.variant:
        return f"Move {broken.path.name} away: {there}."
    if whole.variant:
        return f"Use --variant {whole.variant}: {there}."
    return f"Leave out --variant: {there}."
