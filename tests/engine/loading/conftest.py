from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch

from pixart_tui.engine.loading import LoadedPipeline, load_pipeline

CPU = torch.device("cpu")
SENTENCES = (
    "a photo of a red apple on a wooden table",
    "the quick brown fox jumps over the lazy dog",
    "an astronaut riding a horse in the snow",
    "two small robots drawing flowers with chalk",
)


def load(directory: Path | str, dtype: torch.dtype = torch.float32) -> LoadedPipeline:
    return load_pipeline(str(directory), dtype=dtype, device=CPU)


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _hub_tokenizer(folder: Path) -> None:
    """Replace tokenizer.json by what the Hub's T5 repositories hold: a sentencepiece model."""
    shutil.rmtree(folder)
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "model_max_length": 512})
    )


def _save(model: str, directory: Path) -> Path:
    pipeline = load(model).pipeline
    pipeline.save_pretrained(directory)
    (directory / "text_encoder/model.safetensors").unlink()
    pipeline.text_encoder.save_pretrained(directory / "text_encoder", max_shard_size="40KB")
    _hub_tokenizer(directory / "tokenizer")
    return directory


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    # The models are so small that a second thread costs more than it brings.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def alpha_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PixArt-alpha in the Hub's layout; not to be changed."""
    return _save("synthetic:alpha-tiny", tmp_path_factory.mktemp("alpha") / "model")


@pytest.fixture(scope="session")
def sigma_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PixArt-Sigma in the Hub's layout; not to be changed."""
    return _save("synthetic:sigma-tiny", tmp_path_factory.mktemp("sigma") / "model")


@pytest.fixture
def model_directory(alpha_master: Path, tmp_path: Path) -> Path:
    """A copy of the small PixArt-alpha that a test may damage."""
    return Path(shutil.copytree(alpha_master, tmp_path / "model"))
