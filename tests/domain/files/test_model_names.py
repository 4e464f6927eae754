from __future__ import annotations

import pytest

from pixart_tui.domain.files.model_names import model_name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("pixart-emoji", "pixart-emoji"),
        ("synthetic:alpha", "synthetic-alpha"),
        ("PixArt-alpha/PixArt-XL-2-1024-MS", "PixArt-XL-2-1024-MS"),
        ("/models/xl/", "xl"),
        ("/models/my model [v2] é", "my model [v2] é"),
        ("/models/.hidden", "hidden"),
        ("/models/a\nb\x1b[31m", "a-b-[31m"),
        ("..", "model"),
        ("a/..", "model"),
        (".", "model"),
        ("/", "model"),
        ("", "model"),
    ],
)
def test_a_model_names_one_folder(model: str, name: str) -> None:
    assert model_name(model) == name
