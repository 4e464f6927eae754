from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from diffusers import PixArtTransformer2DModel
from safetensors.torch import load_file, save_file

from pixart_tui.domain.requests import SamplingRequest
from pixart_tui.engine.loading import CallDefaults
from tests.engine.loading.conftest import SENTENCES, edit_json, load


def test_the_text_encoder_of_the_hub_layout_is_sharded(alpha_master: Path) -> None:
    index = json.loads((alpha_master / "text_encoder/model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) >= 2


@pytest.mark.parametrize("family", ["alpha", "sigma"])
def test_loaded_weights_are_those_that_were_saved(
    family: str, alpha_master: Path, sigma_master: Path
) -> None:
    loaded = load(alpha_master if family == "alpha" else sigma_master)
    original = load(f"synthetic:{family}-tiny")
    assert loaded.family == family
    for part in ("transformer", "text_encoder", "vae"):
        saved = getattr(original.pipeline, part).state_dict()
        for key, tensor in getattr(loaded.pipeline, part).state_dict().items():
            assert torch.equal(tensor, saved[key]), key


@pytest.mark.parametrize("text", [*SENTENCES, "Zürich, 3 dragons!"])
def test_sentencepiece_tokenizer_agrees_with_sentencepiece(alpha_master: Path, text: str) -> None:
    reference = sentencepiece.SentencePieceProcessor(
        model_file=str(alpha_master / "tokenizer/spiece.model")
    )
    tokenizer = load(alpha_master).pipeline.tokenizer
    assert tokenizer(text).input_ids == [*reference.encode(text), 1]


def test_dtype_and_device_are_those_asked_for(alpha_master: Path) -> None:
    pipeline = load(alpha_master, torch.bfloat16).pipeline
    for part in (pipeline.transformer, pipeline.text_encoder, pipeline.vae):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.bfloat16}
        assert not part.training


def test_fingerprint_is_that_of_the_files(model_directory: Path) -> None:
    before = load(model_directory)
    assert before.fingerprint.startswith("sha256:")
    assert load(model_directory, torch.bfloat16).fingerprint == before.fingerprint
    moved = shutil.copytree(model_directory, model_directory.parent / "moved")
    assert load(moved).fingerprint == before.fingerprint
    file = model_directory / "transformer/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["proj_out.bias"] += 1
    save_file(weights, file)
    assert load(model_directory).fingerprint != before.fingerprint


def test_stock_defaults_follow_the_family(alpha_master: Path, sigma_master: Path) -> None:
    assert load(alpha_master).defaults == CallDefaults(20, 4.5, 1024, 1024, 120)
    assert load(sigma_master).defaults == CallDefaults(20, 4.5, 64, 64, 300)


def test_the_model_states_its_own_defaults(model_directory: Path) -> None:
    stated = {"num_inference_steps": 8, "guidance_scale": 2, "max_sequence_length": 32}
    # Editors on Windows write a byte order mark.
    text = json.dumps({**stated, "other": "ignored"})
    (model_directory / "pixart_tui.json").write_text(text, encoding="utf-8-sig")
    assert load(model_directory).defaults == CallDefaults(8, 2, 1024, 1024, 32)


def test_a_model_may_state_timesteps_and_no_guidance(model_directory: Path) -> None:
    stated = {"timesteps": [400], "guidance_scale": 0}
    (model_directory / "pixart_tui.json").write_text(json.dumps(stated))
    defaults = load(model_directory).defaults
    assert (defaults.num_inference_steps, defaults.timesteps) == (1, (400,))
    assert defaults.guidance_scale == 0
    for asked, steps, timesteps in (
        (SamplingRequest(), 1, (400,)),
        (SamplingRequest(num_inference_steps=4), 4, ()),
        (SamplingRequest(timesteps=(999, 499)), 2, (999, 499)),
    ):
        found = defaults.for_request(asked)
        assert (found.num_inference_steps, found.timesteps) == (steps, timesteps)


@pytest.mark.parametrize(
    ("sample_size", "additional"), [(32, False), (64, False), (128, True)], ids=str
)
def test_each_published_resolution_loads_and_draws_outside_the_bins(
    model_directory: Path, sample_size: int, additional: bool
) -> None:
    config = PixArtTransformer2DModel.load_config(model_directory / "transformer")
    changed = {**config, "sample_size": sample_size, "use_additional_conditions": None}
    PixArtTransformer2DModel.from_config(changed).save_pretrained(model_directory / "transformer")
    loaded = load(model_directory)
    assert loaded.pipeline.transformer.use_additional_conditions is additional
    assert loaded.defaults.height == sample_size * 8
    images = loaded.pipeline(
        "a fox",
        height=80,
        width=48,
        num_inference_steps=2,
        use_resolution_binning=False,
        clean_caption=False,
        max_sequence_length=16,
        output_type="pt",
    ).images
    assert images.shape == (1, 3, 80, 48)
    assert images.isfinite().all()


def test_repositories_that_name_the_older_transformer_class_load(model_directory: Path) -> None:
    edit_json(model_directory / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    edit_json(
        model_directory / "transformer/config.json",
        _class_name="Transformer2DModel",
        double_self_attention=False,
        only_cross_attention=False,
        use_linear_projection=False,
    )
    assert isinstance(load(model_directory).pipeline.transformer, PixArtTransformer2DModel)


def test_pickled_shards_of_older_repositories_load(model_directory: Path) -> None:
    folder = model_directory / "text_encoder"
    before = load(model_directory).pipeline.text_encoder.state_dict()
    for file in folder.glob("model*"):
        file.unlink()
    keys, names = (
        sorted(before),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
    )
    halves = (keys[: len(keys) // 2], keys[len(keys) // 2 :])
    for name, half in zip(names, halves, strict=True):
        torch.save({key: before[key].clone() for key in half}, folder / name)
    weight_map = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    after = load(model_directory).pipeline.text_encoder.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_loading_writes_nothing_to_the_screen(
    model_directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_json(model_directory / "transformer/config.json", an_unknown_key=1)
    load(model_directory)
    assert capfd.readouterr() == ("", "")
