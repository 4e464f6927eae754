"""Is this directory a PixArt pipeline whose files fit together? Told before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading.config_files import brief, read_json
from pixart_tui.engine.loading.libraries import (
    AutoencoderKL,
    PixArtTransformer2DModel,
    T5Config,
    T5EncoderModel,
    warnings_to_log,
)
from pixart_tui.engine.loading.loaded import Family
from pixart_tui.engine.loading.refusals import (
    refuse_adapter,
    refuse_quantized_config,
    refuse_weights,
    stray_adapters,
)
from pixart_tui.engine.loading.weight_files import (
    WeightFiles,
    WeightSet,
    choice_notes,
    choose_set,
    files_of,
    no_variant,
    use_instead,
    weight_sets,
)
from pixart_tui.engine.loading.weights import Shape, tensor_headers

_FAMILIES: Final[Mapping[str, Family]] = {
    "PixArtAlphaPipeline": "alpha",
    "PixArtSigmaPipeline": "sigma",
    "PixArtSigmaPAGPipeline": "sigma",
}
_TOKENIZER_FILES: Final = ("tokenizer.json", "spiece.model")
_DIFFUSERS_WEIGHTS: Final = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_TRANSFORMERS_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_BLOCKS: Final = re.compile(
    r"^(transformer_blocks|encoder\.block|encoder\.down_blocks|decoder\.up_blocks)\."
)
# Attention weights of a VAE that was saved before diffusers renamed them.
_OLD_VAE_NAMES: Final = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
_RESTORE: Final = "Restore config.json and the weights from the same checkpoint."


@dataclass(frozen=True, slots=True)
class _Component:
    """A part with weights: what may stand for it, and how its shapes are found."""

    classes: tuple[str, ...]
    weights: tuple[str, ...]
    build: Callable[[dict[str, Any]], Any]

    def sets_in(self, folder: Path) -> tuple[WeightSet, ...]:
        """Every set of weights in a folder, in the order in which its library looks for them."""
        by_diffusers = self.weights == _DIFFUSERS_WEIGHTS
        return weight_sets(folder, self.weights, index_first=by_diffusers)


_COMPONENTS: Final[Mapping[str, _Component]] = {
    "transformer": _Component(
        # The first published PixArt-alpha repositories name the older class.
        ("PixArtTransformer2DModel", "Transformer2DModel"),
        _DIFFUSERS_WEIGHTS,
        PixArtTransformer2DModel.from_config,
    ),
    "text_encoder": _Component(
        ("T5EncoderModel",),
        _TRANSFORMERS_WEIGHTS,
        lambda config: T5EncoderModel(T5Config(**config)),
    ),
    "vae": _Component(("AutoencoderKL",), _DIFFUSERS_WEIGHTS, AutoencoderKL.from_config),
}


@dataclass(frozen=True, slots=True)
class CheckedDirectory:
    """A directory that passed.

    Attributes:
        path: The directory.
        family: Which pipeline it holds.
        weights: The weight files by component.
        notes: What there is to say of the choice of files.
    """

    path: Path
    family: Family
    weights: Mapping[str, WeightFiles]
    notes: tuple[str, ...] = ()

    @property
    def is_standard(self) -> bool:
        """Whether diffusers finds these files, and no others, by itself."""
        return all(files.is_standard for files in self.weights.values())


def check_directory(directory: Path, variant: str = "") -> CheckedDirectory:
    """Check a model directory from its JSON files and weight headers alone.

    Args:
        directory: The directory.
        variant: Which weight files, where a part has such ones; empty for those without a name,
            and where a part has none of these for any that it has.

    Raises:
        RequestError: It is not a PixArt that diffusers implements, a part is missing or damaged,
            it is quantized already, or weights and configuration do not fit together.
    """
    index = _read_index(directory)
    family = _family(directory, index)
    for name in (*_COMPONENTS, "scheduler", "tokenizer"):
        _check_present(directory, index, name)
    _refuse_compression(directory / "transformer" / "config.json")
    sets = {name: part.sets_in(directory / name) for name, part in _COMPONENTS.items()}
    there = sorted({found.variant for each in sets.values() for found in each} - {""})
    if variant and variant not in there:
        raise no_variant(str(directory), variant, there)
    weights, notes = {}, list(stray_adapters(directory))
    for name, component in _COMPONENTS.items():
        folder = directory / name
        chosen = choose_set(folder, sets[name], component.weights, variant)
        weights[name] = _check_component(folder, name, sets[name], chosen)
        notes += choice_notes(folder, sets[name], chosen)
    return CheckedDirectory(directory, family, weights, tuple(notes))


def _read_index(directory: Path) -> dict[str, Any]:
    file = directory / "model_index.json"
    if file.is_file():
        return read_json(file)
    refuse_adapter(directory)
    raise RequestError(
        "this is not a diffusers pipeline directory",
        cause=f"{directory} has no model_index.json",
        next_step="Pass the directory that holds model_index.json, transformer/, vae/ and "
        "text_encoder/.",
    )


def _family(directory: Path, index: dict[str, Any]) -> Family:
    name = index.get("_class_name")
    if isinstance(name, str) and name in _FAMILIES:
        return _FAMILIES[name]
    raise RequestError(
        "this is not a PixArt pipeline",
        cause=f"{directory / 'model_index.json'} says {name!r}"[:300],
        next_step=f"Pass a model whose pipeline is {' or '.join(_FAMILIES)}.",
    )


def _check_present(directory: Path, index: dict[str, Any], name: str) -> None:
    folder = directory / name
    if not _class_of(index, name) or not folder.is_dir():
        raise _missing(f"{directory / 'model_index.json'} names no {name}", name, folder)
    expected = {"tokenizer": _TOKENIZER_FILES, "scheduler": ("scheduler_config.json",)}
    files = expected.get(name, ("config.json",))
    if not any((folder / file).is_file() for file in files):
        refuse_adapter(folder)
        raise _missing(f"{folder} holds no {' or '.join(files)}", name, folder)
    component = _COMPONENTS.get(name)
    if component and _class_of(index, name) not in component.classes:
        raise RequestError(
            f"the {name} is not one of PixArt",
            cause=f"{directory / 'model_index.json'} says {_class_of(index, name)!r}"[:300],
            next_step=f"PixArt's {name} is a {component.classes[0]}.",
        )


def _class_of(index: dict[str, Any], name: str) -> str | None:
    entry = index.get(name)
    named = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)
    return str(entry[1]) if named and entry else None


def _missing(cause: str, name: str, folder: Path) -> RequestError:
    return RequestError(
        "a part of the pipeline is missing",
        cause=cause if folder.is_dir() else f"{folder} is not there",
        next_step=f"Copy {name}/ from the model's repository, or download the whole model again.",
    )


def _refuse_compression(file: Path) -> None:
    if _compresses(read_json(file)):
        raise _unsupported_compression(str(file))


def _compresses(config: Mapping[str, Any]) -> bool:
    for key, value in config.items():
        if "kv_compress" in key and isinstance(value, dict):
            if _compresses(value):
                return True
        elif key in ("sr_ratio", "scale_factor"):
            if isinstance(value, int | float) and value > 1:
                return True
        elif (key.startswith("kv_compress") or key == "sampling") and value:
            return True
    return False


def _unsupported_compression(where: str) -> RequestError:
    return RequestError(
        "PixArt with key/value compression is not supported: diffusers does not implement it",
        cause=f"found in {where}",
        next_step="Use a checkpoint without it, such as PixArt-alpha/PixArt-Sigma-XL-2-1024-MS.",
    )


def _check_component(
    folder: Path, name: str, sets: tuple[WeightSet, ...], chosen: WeightSet
) -> WeightFiles:
    config = read_json(folder / "config.json")
    refuse_quantized_config(folder / "config.json", name, config)
    expected = _expected_shapes(folder / "config.json", config, _COMPONENTS[name])

    def check(found: WeightSet) -> WeightFiles:
        return _check_set(folder, name, files_of(found, sets), expected)

    try:
        return check(chosen)
    except RequestError as error:
        whole = next((x for x in sets if x != chosen and _passes(check, x)), None)
        if whole is None:
            raise
        step = use_instead(chosen, whole)
        raise RequestError(error.title, cause=error.cause, next_step=step) from error


def _passes(check: Callable[[WeightSet], WeightFiles], found: WeightSet) -> bool:
    try:
        check(found)
    except RequestError:
        return False
    return True


def _check_set(
    folder: Path, name: str, files: WeightFiles, expected: dict[str, Shape]
) -> WeightFiles:
    found: dict[str, tuple[Path, Shape]] = {}
    for shard in files.shards:
        headers = tensor_headers(shard)
        refuse_weights(shard, name, headers)
        found |= {key: (shard, header.shape) for key, header in headers.items()}
    compressed = next((key for key in found if ".sr." in key), None)
    if name == "transformer" and compressed:
        raise _unsupported_compression(f"{found[compressed][0]}: {compressed}")
    _compare(folder, expected, {_current_name(key): value for key, value in found.items()})
    return files


def _expected_shapes(file: Path, config: dict[str, Any], component: _Component) -> dict[str, Shape]:
    try:
        with torch.device("meta"), warnings_to_log():
            state = component.build(config).state_dict()
    except Exception as error:
        raise RequestError(
            "a configuration has wrong values",
            cause=f"{file}: {brief(error)}",
            next_step=_RESTORE,
        ) from error
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _current_name(key: str) -> str:
    if key == "encoder.embed_tokens.weight":
        return "shared.weight"
    for old, new in _OLD_VAE_NAMES.items():
        if "attentions." in key and old in key:
            return key.replace(old, new)
    return key


def _compare(
    folder: Path, expected: dict[str, Shape], found: dict[str, tuple[Path, Shape]]
) -> None:
    config = folder / "config.json"
    wanted = {_current_name(key): shape for key, shape in expected.items()}
    absent = [key for key in wanted if key not in found]
    # Harmless leftovers are common (unused embeddings, T5's decoder); blocks would go unused.
    extra = [key for key in found if key not in wanted and _BLOCKS.match(key)]
    wrong = [key for key in wanted if key in found and found[key][1] != wanted[key]]
    if absent:
        _mismatch(f"{folder} has no weights for {absent[0]}, which {config} asks for", absent)
    if wrong:
        file, shape = found[wrong[0]]
        said = f"{_text(shape)}, {config} asks for {_text(wanted[wrong[0]])}"
        _mismatch(f"{file}: {wrong[0]} is {said}", wrong)
    if extra:
        _mismatch(f"{found[extra[0]][0]} holds {extra[0]}, which {config} does not know", extra)


def _mismatch(cause: str, keys: list[str]) -> None:
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    raise RequestError(
        "the weights do not fit the configuration", cause=f"{cause}{more}", next_step=_RESTORE
    )


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"
