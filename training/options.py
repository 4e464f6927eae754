"""The command line of `training.train`, and the recipe of the published shape."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from training.architecture import BLOCKS, DEFAULT_CALL, HEAD_DIM, HEADS
from training.dataset import DEFAULT_DATA
from training.denoiser import Recipe
from training.sampling import DEFAULT_MODEL
from training.schedule import Budget

DENOISER_SECONDS: Final = 375.0
# The transformer of PixArt-alpha and PixArt-sigma: 1152 channels.
PUBLISHED_SHAPE: Final[Mapping[str, Any]] = {
    "output": Path("build/pixart-emoji-28"),
    "vae_from": DEFAULT_MODEL,
    "text_from": DEFAULT_MODEL,
    "blocks": 28,
    "heads": 16,
    "head_dim": 72,
    "guidance_scale": 4.5,
    "steps": 1700,
    "batch": 256,
    "rate": 2e-4,
    "ema": 0.998,
    "compile_blocks": True,
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, with the defaults that made `pixart-emoji`."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument(
        "--published-shape",
        action="store_true",
        help="28 blocks, 16 heads of 72 channels, with a recipe and parts to match",
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--output", type=Path, default=Path("build/pixart-emoji"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    add_autoencoder(parser.add_argument_group("autoencoder"))
    add_denoiser(parser.add_argument_group("text encoder and transformer"))
    return parser


def add_autoencoder(group: argparse._ArgumentGroup) -> None:
    """Add the options of the first stage."""
    group.add_argument("--vae-from", type=Path, help="take the autoencoder of this pipeline")
    group.add_argument(
        "--vae-seconds", type=float, default=190, help="0 takes the autoencoder of the last run"
    )
    group.add_argument("--vae-batch", type=int, default=192)


def add_denoiser(group: argparse._ArgumentGroup) -> None:
    """Add the options of the second stage."""
    group.add_argument(
        "--text-from", type=Path, help="start from the tokenizer and text encoder of this pipeline"
    )
    group.add_argument("--blocks", type=int, default=BLOCKS, help="of the transformer")
    group.add_argument("--heads", type=int, default=HEADS, help="of each attention")
    group.add_argument("--head-dim", type=int, default=HEAD_DIM, help="channels of a head")
    group.add_argument("--guidance-scale", type=float, default=DEFAULT_CALL["guidance_scale"])
    group.add_argument("--steps", type=int, default=math.inf, help="train so many, not so long")
    group.add_argument(
        "--denoiser-seconds",
        type=float,
        help=f"{DENOISER_SECONDS:.0f} without --steps; with it, a limit; 0 trains none",
    )
    group.add_argument("--batch", type=int, default=1024)
    group.add_argument("--rate", type=float, default=1.2e-3, help="highest learning rate")
    group.add_argument("--ema", type=float, default=0.9995, help="decay of the averaged weights")
    group.add_argument(
        "--compile-blocks", action="store_true", help="compile one block, not the whole loss"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; what it says goes before what the published shape brings."""
    parser = build_parser()
    if parser.parse_args(arguments).published_shape:
        parser.set_defaults(**PUBLISHED_SHAPE)
    return parser.parse_args(arguments)


def vae_budget(options: argparse.Namespace) -> Budget:
    """Return the budget of the first stage."""
    return Budget(seconds=options.vae_seconds)


def recipe(options: argparse.Namespace) -> Recipe:
    """Return the recipe of the second stage."""
    seconds = options.denoiser_seconds
    if seconds is None:
        seconds = DENOISER_SECONDS if math.isinf(options.steps) else math.inf
    budget = Budget(seconds, options.steps)
    return Recipe(options.batch, options.rate, options.ema, budget, options.compile_blocks)
