"""Build the data set from two npm packages: `python -m training.prepare`.

Archives that lie in the folder already are not fetched: copied there, they do without a network.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.captions import index_names, pair
from training.dataset import DEFAULT_DATA, Dataset

PACKAGES = {
    "@lobehub/fluent-emoji-3d@1.1.0": "lobehub-fluent-emoji-3d-1.1.0.tgz",
    "emojibase-data@17.0.0": "emojibase-data-17.0.0.tgz",
}
NAMES_MEMBER = "package/en/data.json"
CANVAS = 128
EMOJI = 112


def download(folder: Path) -> list[Path]:
    """Fetch the packages that `folder` lacks with `npm pack`, and return their archives."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name, archive in PACKAGES.items() if not (folder / archive).exists()]
    if missing:
        subprocess.run(["npm", "pack", *missing], cwd=folder, check=True)
    return [folder / archive for archive in PACKAGES.values()]


def draw(webp: bytes) -> npt.NDArray[np.uint8]:
    """Center a picture on a white canvas."""
    picture = Image.open(io.BytesIO(webp)).convert("RGBA")
    picture = picture.resize((EMOJI, EMOJI), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (CANVAS, CANVAS), "white")
    margin = (CANVAS - EMOJI) // 2
    canvas.alpha_composite(picture, (margin, margin))
    return np.asarray(canvas.convert("RGB"), dtype=np.uint8)


def read_pictures(archive: Path) -> dict[str, bytes]:
    """Read every WebP file of an npm archive by its stem."""
    with tarfile.open(archive) as tar:
        members = [item for item in tar.getmembers() if item.name.endswith(".webp")]
        opened = ((Path(item.name).stem, tar.extractfile(item)) for item in members)
        return {stem: file.read() for stem, file in opened if file is not None}


def read_names(archive: Path) -> list[dict[str, object]]:
    """Read the English names of an `emojibase-data` archive."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(NAMES_MEMBER)
        if file is None:
            raise ValueError(f"{archive} has no {NAMES_MEMBER}")
        entries: list[dict[str, object]] = json.load(file)
        return entries


def build(pictures: dict[str, bytes], entries: list[dict[str, object]]) -> Dataset:
    """Pair pictures with names and draw them."""
    pairs = pair(pictures, index_names(entries))
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda stem: draw(pictures[stem]), [stem for stem, _ in pairs]))
    return Dataset(np.stack(images), [emoji for _, emoji in pairs])


def main() -> None:
    """Download what is missing, build the data set and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder to fill")
    folder: Path = parser.parse_args().data
    emoji_archive, names_archive = download(folder)
    dataset = build(read_pictures(emoji_archive), read_names(names_archive))
    dataset.save(folder)
    print(f"{len(dataset.emoji)} emoji in {folder}")


if __name__ == "__main__":
    main()
