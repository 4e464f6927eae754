"""Draw the contact sheet of the model card: `python -m training.contact_sheet`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from training.sampling import DEFAULT_MODEL, default_call, draw_many, initial_noise, load_pipeline

PROMPTS = Path("pixart_tui/assets/prompts.json")
COUNT = 32
COLUMNS = 8
TILE = 104
CAPTION = 14
LINE = 17


def tile(picture: torch.Tensor, prompt: str) -> Image.Image:
    """Put a prompt under its picture."""
    array = (picture.permute(1, 2, 0).clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    cell = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    cell.paste(Image.fromarray(array).resize((TILE, TILE), Image.Resampling.LANCZOS))
    text = prompt if len(prompt) <= LINE else prompt[: LINE - 1] + "\u2026"
    ImageDraw.Draw(cell).text((TILE // 2, TILE + 6), text, "black", anchor="mm", font_size=10)
    return cell


def sheet(pictures: torch.Tensor, prompts: list[str]) -> Image.Image:
    """Lay pictures out in rows of eight."""
    rows = -(-len(prompts) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), "white")
    for place, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
        row, column = divmod(place, COLUMNS)
        canvas.paste(tile(picture, prompt), (column * TILE, row * (TILE + CAPTION)))
    return canvas


def main() -> None:
    """Draw the first 32 prompts and save them as one picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--output", type=Path, default=DEFAULT_MODEL / "contact_sheet.png")
    options = parser.parse_args()
    prompts = json.loads(options.prompts.read_text(encoding="utf-8"))["pixart-emoji"][:COUNT]
    pipeline = load_pipeline(options.model)
    noise = initial_noise(len(prompts), seed=0)
    pictures = draw_many(pipeline, prompts, noise, **default_call(options.model))
    sheet(pictures, prompts).save(options.output, optimize=True)
    print(options.output)


if __name__ == "__main__":
    main()
