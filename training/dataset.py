"""The prepared data set: pictures and captions on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.captions import Emoji

DEFAULT_DATA = Path("build/emoji")
IMAGES = "images.npy"
NAMES = "emoji.json"
LABELS_ONEDIFF = 2024


@dataclass(frozen=True)
class Dataset:
    """Pictures of shape (count, height, width, 3) as bytes, and the emoji they show."""

    images: npt.NDArray[np.uint8]
    emoji: list[Emoji]

    def save(self, folder: Path) -> None:
        """Write the data set into `folder`."""
        np.save(folder / IMAGES, self.images)
        names = [asdict(item) for item in self.emoji]
        (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def load(folder: Path) -> Dataset:
    """Read the data set that `training.prepare` left in `folder`."""
    if not (folder / IMAGES).exists():
        raise SystemExit(f"no data set in {folder}: run python -m training.prepare --data {folder}")
    names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    emoji = [Emoji(item["code"], item["label"], tuple(item["tags"])) for item in names]
    return Dataset(np.load(folder / IMAGES), emoji)


def random_indices(count: int, total: int, seed: int = LABELS_ONEDIFF) -> list[int]:
    """Draw `count` different positions of `total`, the same ones for the same seed."""
    chosen: Sequence[int] = np.random.default_rng(seed).permutation(total)[:count].tolist()
    return list(chosen)
