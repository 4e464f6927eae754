"""Weights under the names of variants, of older versions and of both libraries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from tests.engine.loading.conftest import CPU, edit_json, load

NAME = "diffusion_pytorch_model"
PARTS = ("transformer", "text_encoder", "vae")


def _rename(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


def _weights(loaded: LoadedPipeline) -> dict[str, torch.Tensor]:
    states = {part: getattr(loaded.pipeline, part).state_dict() for part in PARTS}
    return {f"{part}.{key}": x for part, state in states.items() for key, x in state.items()}


def _same(one: LoadedPipeline, other: LoadedPipeline) -> bool:
    first, second = _weights(one), _weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def _shard(model: Path, part: str, variant: str | None = None) -> Path:
    """Save a part again in several files, and remove those that were there."""
    folder = model / part
    module = getattr(load(model).pipeline, part)
    for file in folder.glob("*model*"):
        file.unlink()
    module.save_pretrained(folder, variant=variant, max_shard_size="40KB")
    return folder


def _halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.fixture
def fp16_only(alpha_master: Path, tmp_path: Path) -> Path:
    """The small model with every weight file named fp16, as ``save_pretrained`` writes it."""
    directory = tmp_path / "fp16-only"
    load(alpha_master, torch.float16).pipeline.save_pretrained(directory, variant="fp16")
    return directory


def test_a_model_of_one_variant_is_loaded_without_being_asked(fp16_only: Path) -> None:
    unasked = load(fp16_only)
    asked = load_pipeline(str(fp16_only), dtype=torch.float32, device=CPU, variant="fp16")
    assert _same(unasked, asked)
    assert unasked.fingerprint == asked.fingerprint
    assert unasked.notes == ()
    assert unasked.source == str(fp16_only)


def test_a_variant_in_shards_is_loaded(fp16_only: Path) -> None:
    before = load(fp16_only)
    for part in ("transformer", "text_encoder"):
        _shard(fp16_only, part, "fp16")
    assert _same(load(fp16_only), before)


@pytest.mark.parametrize("name", ["{}.{}.index.json", "{0}.index.{1}.json"])
@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_older_names_of_an_index_are_read(model_directory: Path, part: str, name: str) -> None:
    before = load(model_directory)
    folder = _shard(model_directory, part, "fp16")
    (index,) = folder.glob("*.index*")
    plain = f"{NAME if part == 'transformer' else 'model'}.safetensors"
    _rename(folder, index.name, name.format(plain, "fp16"))
    assert _same(load(model_directory), before)


def test_shards_that_put_the_variant_last_are_read(model_directory: Path) -> None:
    before = load(model_directory)
    folder = _shard(model_directory, "transformer", "fp16")
    (index,) = folder.glob("*.index*")
    text = index.read_text()
    for shard in folder.glob("*-of-*"):
        older = shard.name.replace(".fp16-", "-").replace(".safetensors", ".fp16.safetensors")
        text = text.replace(shard.name, older)
        _rename(folder, shard.name, older)
    index.write_text(text)
    _rename(folder, index.name, f"{NAME}.safetensors.fp16.index.json")
    assert _same(load(model_directory), before)


def test_of_several_variants_the_most_precise_one_is_taken_and_named(model_directory: Path) -> None:
    before = load(model_directory)
    folder = model_directory / "transformer"
    state = load_file(folder / f"{NAME}.safetensors")
    _rename(folder, f"{NAME}.safetensors", f"{NAME}.fp16.safetensors")
    save_file({key: x + 1 for key, x in state.items()}, folder / f"{NAME}.bf16.safetensors")
    loaded = load(model_directory)
    assert _same(loaded, before)
    assert loaded.notes == ("transformer: the weights fp16 are used, beside bf16",)


def test_an_index_beside_a_single_file_is_told(model_directory: Path) -> None:
    folder = model_directory / "transformer"
    single = (folder / f"{NAME}.safetensors").read_bytes()
    before = load(model_directory)
    _shard(model_directory, "transformer")
    (folder / f"{NAME}.safetensors").write_bytes(single)
    loaded = load(model_directory)
    assert _same(loaded, before)
    assert f"{NAME}.safetensors.index.json is used" in loaded.notes[0]
    encoder = model_directory / "text_encoder"
    state = load(model_directory).pipeline.text_encoder.state_dict()
    del state["encoder.embed_tokens.weight"]
    save_file(state, encoder / "one")
    _rename(encoder, "one", "model.safetensors")
    (note,) = (note for note in load(model_directory).notes if "text_encoder" in note)
    assert "model.safetensors is used" in note


def _cut(model: Path) -> None:
    _halve(model / f"transformer/{NAME}.safetensors")


def _another_width(model: Path) -> None:
    file = model / f"transformer/{NAME}.safetensors"
    state = load_file(file)
    state["proj_out.weight"] = torch.zeros(2, 2)
    save_file(state, file)


def _beside(model: Path, name: str) -> None:
    folder = model / "transformer"
    state = load_file(folder / f"{NAME}.safetensors")
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)


@pytest.mark.parametrize("damage", [_cut, _another_width])
@pytest.mark.parametrize(
    ("other", "step"),
    [
        (f"{NAME}.fp16.safetensors", "Use --variant fp16"),
        (f"{NAME}.bin", f"Move {NAME}.safetensors away"),
    ],
)
def test_another_file_that_would_do_is_named(
    model_directory: Path, damage: Callable[[Path], None], other: str, step: str
) -> None:
    _beside(model_directory, other)
    damage(model_directory)
    with pytest.raises(RequestError) as caught:
        load(model_directory)
    assert step in caught.value.next_step
    assert f"{other} beside it is whole" in caught.value.next_step
    assert "ownload" not in caught.value.next_step
    assert f"transformer/{NAME}.safetensors" in caught.value.cause


def test_a_damaged_variant_names_the_files_without_one(model_directory: Path) -> None:
    _beside(model_directory, f"{NAME}.fp16.safetensors")
    _halve(model_directory / f"transformer/{NAME}.fp16.safetensors")
    with pytest.raises(RequestError, match="truncated") as caught:
        load_pipeline(str(model_directory), dtype=torch.float32, device=CPU, variant="fp16")
    assert "Leave out --variant" in caught.value.next_step
    assert load(model_directory).notes == ()


def test_a_stale_index_whose_shards_are_gone_names_the_single_file(model_directory: Path) -> None:
    index = {"metadata": {}, "weight_map": {"proj_out.bias": f"{NAME}-00001-of-00002.safetensors"}}
    folder = model_directory / "transformer"
    (folder / f"{NAME}.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(RequestError, match="shard of the model is missing") as caught:
        load(model_directory)
    assert f"{NAME}.safetensors beside it is whole" in caught.value.next_step


def test_an_index_does_not_lead_out_of_its_folder(model_directory: Path) -> None:
    folder = model_directory / "transformer"
    index = {"weight_map": {"proj_out.bias": f"../transformer/{NAME}.safetensors"}}
    (folder / f"{NAME}.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(RequestError, match="names no weights"):
        load(model_directory)


def test_a_variant_that_is_not_there_names_those_that_are(fp16_only: Path) -> None:
    with pytest.raises(RequestError, match="no variant bf16") as caught:
        load_pipeline(str(fp16_only), dtype=torch.float32, device=CPU, variant="bf16")
    assert "it has fp16" in caught.value.cause


def test_a_cached_model_of_one_variant_loads_offline(
    fp16_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--half"
    shutil.copytree(fp16_only, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    assert load("org/half").fingerprint == load(fp16_only).fingerprint


def _stated(method: str) -> Callable[[Path], None]:
    def state(model: Path) -> None:
        edit_json(model / "transformer/config.json", quantization_config={"quant_method": method})

    return state


def _replace(key: str, dtype: torch.dtype) -> Callable[[Path], None]:
    def replace(model: Path) -> None:
        file = model / f"transformer/{NAME}.safetensors"
        state = load_file(file)
        save_file({**state, key: state[key].to(dtype)}, file)

    return replace


@pytest.mark.parametrize(
    ("quantize", "cause"),
    [
        (_stated("torchao"), "quantization_config of torchao"),
        (_stated("bitsandbytes"), "quantization_config of bitsandbytes"),
        (_replace("proj_out.weight", torch.float8_e4m3fn), "proj_out.weight is F8_E4M3"),
        (_replace("proj_out.weight", torch.int8), "proj_out.weight is I8"),
    ],
)
def test_weights_that_are_quantized_already_are_told(
    model_directory: Path, quantize: Callable[[Path], None], cause: str
) -> None:
    quantize(model_directory)
    with pytest.raises(RequestError, match="the transformer is quantized already") as caught:
        load(model_directory)
    assert cause in caught.value.cause
    assert "checkpoint that it was made from" in caught.value.next_step


def test_a_pickle_in_fp8_is_told(model_directory: Path) -> None:
    folder = model_directory / "vae"
    state: dict[str, Any] = load_file(folder / f"{NAME}.safetensors")
    state["encoder.conv_in.bias"] = state["encoder.conv_in.bias"].to(torch.float8_e5m2)
    (folder / f"{NAME}.safetensors").unlink()
    torch.save(state, folder / f"{NAME}.bin")
    with pytest.raises(RequestError, match="the vae is quantized already") as caught:
        load(model_directory)
    assert "float8_e5m2" in caught.value.cause


def test_a_lora_that_is_not_merged_is_told(model_directory: Path) -> None:
    file = model_directory / f"transformer/{NAME}.safetensors"
    state = load_file(file)
    state["proj_out.base_layer.weight"] = state.pop("proj_out.weight")
    state["proj_out.lora_A.default.weight"] = torch.zeros(2, 48)
    save_file(state, file)
    with pytest.raises(RequestError, match="holds a LoRA that is not merged") as caught:
        load(model_directory)
    assert "base_layer" in caught.value.cause or "lora_A" in caught.value.cause
    assert "--lora" in caught.value.next_step


@pytest.mark.parametrize("name", ["adapter_config.json", "pytorch_lora_weights.safetensors"])
def test_a_lora_in_place_of_a_model_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(RequestError, match="this is a LoRA and not a model") as caught:
        load(tmp_path)
    assert "--model" in caught.value.next_step


def test_a_lora_in_place_of_a_transformer_is_told(model_directory: Path) -> None:
    folder = model_directory / "transformer"
    for file in folder.iterdir():
        file.unlink()
    (folder / "adapter_model.safetensors").write_text("")
    with pytest.raises(RequestError, match="this is a LoRA and not a model"):
        load(model_directory)


def test_a_lora_beside_a_model_is_not_used_in_silence(model_directory: Path) -> None:
    (model_directory / "pytorch_lora_weights.safetensors").write_text("")
    (note,) = load(model_directory).notes
    assert "pytorch_lora_weights.safetensors beside the model is not used" in note
