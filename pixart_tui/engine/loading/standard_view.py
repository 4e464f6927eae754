"""Shows a model's chosen weight files to diffusers under the names that it looks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pixart_tui.engine.loading.checks import CheckedDirectory
from pixart_tui.engine.loading.config_files import read_json
from pixart_tui.engine.loading.weight_files import WeightFiles


@contextmanager
def standard_view(checked: CheckedDirectory) -> Iterator[Path]:
    """A directory from which ``from_pretrained`` loads the files that were checked, and no others.

    It is the model's own where diffusers would take these files anyway. Otherwise it is a
    temporary one of links, with older names and variants spelled as today and without a variant.

    Args:
        checked: The model.
    """
    if checked.is_standard:
        yield checked.path
        return
    with TemporaryDirectory(prefix="pixart-tui-") as folder:
        view = Path(folder)
        for path in checked.path.iterdir():
            if path.name not in checked.weights:
                (view / path.name).symlink_to(path.absolute())
        for name, files in checked.weights.items():
            _show(checked.path / name, files, view / name)
        yield view


def _show(folder: Path, files: WeightFiles, shown: Path) -> None:
    shown.mkdir()
    for path in folder.glob("*config.json"):
        (shown / path.name).symlink_to(path.absolute())
    name = files.chosen.standard_name
    if files.index is None:
        (shown / name).symlink_to(files.shards[0].absolute())
        return
    (shown / name).write_text(json.dumps({"metadata": {}, **read_json(files.index)}))
    for shard in files.shards:
        (shown / shard.name).symlink_to(shard.absolute())
