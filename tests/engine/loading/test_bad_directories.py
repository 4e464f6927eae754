from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixart_tui.domain.errors import RequestError
from tests.engine.loading.conftest import edit_json, load

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def _first_shard(model: Path) -> Path:
    return min((model / "text_encoder").glob("model-*.safetensors"))


def _no_index(model: Path) -> None:
    (model / "model_index.json").unlink()


def _other_pipeline(model: Path) -> None:
    edit_json(model / "model_index.json", _class_name="StableDiffusionPipeline")


def _other_transformer(model: Path) -> None:
    edit_json(model / "model_index.json", transformer=["diffusers", "SD3Transformer2DModel"])


def _no_vae(model: Path) -> None:
    shutil.rmtree(model / "vae")


def _text_encoder_left_out(model: Path) -> None:
    edit_json(model / "model_index.json", text_encoder=[None, None])


def _no_tokenizer_model(model: Path) -> None:
    (model / "tokenizer/spiece.model").unlink()


def _no_scheduler_config(model: Path) -> None:
    (model / "scheduler/scheduler_config.json").unlink()


def _no_weights(model: Path) -> None:
    (model / WEIGHTS).unlink()


def _missing_shard(model: Path) -> None:
    _first_shard(model).unlink()


def _empty_index(model: Path) -> None:
    edit_json(model / "text_encoder/model.safetensors.index.json", weight_map={})


def _truncated_data(model: Path) -> None:
    file = _first_shard(model)
    file.write_bytes(file.read_bytes()[:-100])


def _truncated_header(model: Path) -> None:
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:20])


def _empty_file(model: Path) -> None:
    (model / WEIGHTS).write_bytes(b"")


def _garbled_header(model: Path) -> None:
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content[:8] + b"?" * 50 + content[58:])


def _lfs_pointer(model: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
    (model / WEIGHTS).write_text(text)


def _damaged_pickle(model: Path) -> None:
    file = model / "vae/diffusion_pytorch_model"
    state = load_file(file.with_suffix(".safetensors"))
    file.with_suffix(".safetensors").unlink()
    torch.save(state, file.with_suffix(".bin"))
    file.with_suffix(".bin").write_bytes(file.with_suffix(".bin").read_bytes()[:-2000])


def _pickle_of_something_else(model: Path) -> None:
    (model / WEIGHTS).unlink()
    torch.save({"state_dict": {}}, (model / WEIGHTS).with_suffix(".bin"))


def _config_not_json(model: Path) -> None:
    (model / "vae/config.json").write_text("{'sample_size': 64,")


def _config_a_list(model: Path) -> None:
    (model / "vae/config.json").write_text("[]")


def _wrong_type(model: Path) -> None:
    edit_json(model / "transformer/config.json", num_layers="two")


def _wrong_norm(model: Path) -> None:
    edit_json(model / "transformer/config.json", norm_type="layer_norm")


def _too_many_layers(model: Path) -> None:
    edit_json(model / "transformer/config.json", num_layers=3)


def _too_few_layers(model: Path) -> None:
    edit_json(model / "transformer/config.json", num_layers=1)


def _wrong_width(model: Path) -> None:
    edit_json(model / "text_encoder/config.json", d_ff=80)


def _compression_in_the_config(model: Path) -> None:
    compress = {"sampling": "conv", "scale_factor": 2, "kv_compress_layer": [0]}
    edit_json(model / "transformer/config.json", kv_compress_config=compress)


def _compression_ratio(model: Path) -> None:
    edit_json(model / "transformer/config.json", sampling="conv", sr_ratio=2)


def _compression_in_the_weights(model: Path) -> None:
    state = load_file(model / WEIGHTS)
    state["transformer_blocks.1.attn1.sr.weight"] = torch.zeros(48, 1, 2, 2)
    save_file(state, model / WEIGHTS)


def _defaults_not_numbers(model: Path) -> None:
    (model / "pixart_tui.json").write_text(json.dumps({"num_inference_steps": "20"}))


def _scheduler_unknown(model: Path) -> None:
    edit_json(model / "model_index.json", scheduler=["diffusers", "NoSuchScheduler"])


@pytest.mark.parametrize(
    ("damage", "title", "cause"),
    [
        (_no_index, "not a diffusers pipeline", "model_index.json"),
        (_other_pipeline, "not a PixArt pipeline", "StableDiffusionPipeline"),
        (_other_transformer, "transformer is not one of PixArt", "SD3Transformer2DModel"),
        (_no_vae, "part of the pipeline is missing", "/vae "),
        (_text_encoder_left_out, "part of the pipeline is missing", "names no text_encoder"),
        (_no_tokenizer_model, "part of the pipeline is missing", "spiece.model"),
        (_no_scheduler_config, "part of the pipeline is missing", "scheduler_config.json"),
        (_no_weights, "no weights", "diffusion_pytorch_model.safetensors"),
        (_missing_shard, "shard of the model is missing", "model-00001-of-"),
        (_empty_index, "names no weights", "model.safetensors.index.json"),
        (_truncated_data, "truncated", "model-00001-of-"),
        (_truncated_header, "truncated", "ends after 20 bytes"),
        (_empty_file, "truncated", "ends after 0 bytes"),
        (_garbled_header, "damaged", "not safetensors"),
        (_lfs_pointer, "damaged", "Git LFS pointer"),
        (_damaged_pickle, "damaged", "diffusion_pytorch_model.bin"),
        (_pickle_of_something_else, "damaged", "diffusion_pytorch_model.bin"),
        (_config_not_json, "config.json cannot be read", "vae/config.json"),
        (_config_a_list, "not a JSON object", "vae/config.json"),
        (_wrong_type, "wrong values", "transformer/config.json"),
        (_wrong_norm, "wrong values", "transformer/config.json"),
        (_too_many_layers, "do not fit", "transformer_blocks.2"),
        (_too_few_layers, "do not fit", "transformer_blocks.1"),
        (_wrong_width, "do not fit", "64x40"),
        (_compression_in_the_config, "key/value compression", "transformer/config.json"),
        (_compression_ratio, "key/value compression", "transformer/config.json"),
        (_compression_in_the_weights, "key/value compression", "attn1.sr.weight"),
        (_defaults_not_numbers, "not a positive number", "num_inference_steps is '20'"),
        (_scheduler_unknown, "cannot be loaded", "NoSuchScheduler"),
    ],
)
def test_each_fault_is_told_in_one_short_error(
    model_directory: Path, damage: Callable[[Path], None], title: str, cause: str
) -> None:
    damage(model_directory)
    with pytest.raises(RequestError) as caught:
        load(model_directory)
    error = caught.value
    assert title in error.title
    assert cause in error.cause
    assert str(model_directory) in error.cause
    assert error.next_step
    assert all("\n" not in line and len(line) < 500 for line in error.lines())


@pytest.mark.parametrize("missing", ["/no/such/model", "./no-such-model", "no-such-model"])
def test_a_directory_that_is_not_there(missing: str) -> None:
    with pytest.raises(RequestError, match="no such model directory") as caught:
        load(missing)
    assert Path(missing).name in caught.value.cause


def test_a_file_is_not_a_directory(model_directory: Path) -> None:
    with pytest.raises(RequestError) as caught:
        load(model_directory / "model_index.json")
    assert "not a directory" in caught.value.cause


def test_compression_that_is_switched_off_is_no_fault(model_directory: Path) -> None:
    off: dict[str, object] = {"sampling": None, "scale_factor": 1, "kv_compress_layer": []}
    edit_json(model_directory / "transformer/config.json", kv_compress_config=off, sr_ratio=1)
    assert load(model_directory).family == "alpha"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(model_directory: Path) -> None:
    (model_directory / WEIGHTS).chmod(0)
    with pytest.raises(RequestError, match="cannot be read") as caught:
        load(model_directory)
    assert WEIGHTS in caught.value.cause
