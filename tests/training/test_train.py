"""A model small enough to be trained by a test, from the data set to the loaded pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pixart_tui.engine.loading import CallDefaults, load_pipeline
from training.captions import Emoji
from training.dataset import Dataset
from training.options import parse
from training.sampling import DEFAULT_MODEL
from training.train import run

ROOT = Path(__file__).parents[2]
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
TINY = [
    "--device=cpu", f"--vae-from={DEFAULT_MODEL}", "--guidance-scale=4.5",
    "--blocks=1", "--heads=1", "--head-dim=8", "--steps=2", "--batch=4",
]  # fmt: skip
KNOWN_TEXT = ["--text-from", str(DEFAULT_MODEL)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    names = ("red apple", "robot", "flag: Japan")
    emoji = [Emoji(str(at), name, ("fruit", "face")) for at, name in enumerate(names)]
    folder = tmp_path / "data"
    folder.mkdir()
    Dataset(images, emoji).save(folder)
    return folder


def train(data: Path, name: str, *arguments: str) -> Path:
    output = data.parent / name
    run(parse([*TINY, "--data", str(data), "--output", str(output), *arguments]))
    return output


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_one_seed_gives_the_same_bytes_and_another_seed_others(data: Path) -> None:
    first = contents(train(data, "first", *KNOWN_TEXT))
    assert first == contents(train(data, "again", *KNOWN_TEXT))
    other = contents(train(data, "other", *KNOWN_TEXT, "--seed", "1"))
    assert first[WEIGHTS] != other[WEIGHTS]


def test_what_was_trained_loads_with_its_shape_and_its_call(data: Path) -> None:
    folder = train(data, "model", *KNOWN_TEXT)
    loaded = load_pipeline(str(folder), dtype=torch.float32, device=torch.device("cpu"))
    config = loaded.pipeline.transformer.config
    assert (config.num_layers, config.num_attention_heads, config.attention_head_dim) == (1, 1, 8)
    assert loaded.defaults == CallDefaults(20, 4.5, 128, 128, 32)
    weights = load_file(folder / WEIGHTS)
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    # It starts at zero: what is there was learned.
    assert weights["proj_out.weight"].abs().max() > 0


def test_the_text_encoder_goes_on_from_the_shipped_one(data: Path) -> None:
    before = load_file(DEFAULT_MODEL / "text_encoder" / "model.safetensors")
    folder = train(data, "model", *KNOWN_TEXT)
    after = load_file(folder / "text_encoder" / "model.safetensors")
    assert after.keys() == before.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=0.02, rtol=0.02)
    kept, shipped = (at / "tokenizer" / "tokenizer.json" for at in (folder, DEFAULT_MODEL))
    assert kept.read_bytes() == shipped.read_bytes()


def test_without_a_pipeline_to_take_it_from_the_words_are_those_of_the_data(data: Path) -> None:
    folder = train(data, "model")
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    words = {word for word, _ in tokenizer["model"]["vocab"]}
    assert "\u2581robot" in words
    assert "\u2581firefighter" not in words


def test_the_vae_is_the_shipped_one(data: Path) -> None:
    name = "diffusion_pytorch_model.safetensors"
    folder = train(data, "model", "--denoiser-seconds", "0")
    kept, shipped = (load_file(at / "vae" / name) for at in (folder, DEFAULT_MODEL))
    assert all(torch.equal(kept[key], value) for key, value in shipped.items())
