r"""Train `pixart-emoji` against the clock: `python -m training.train`.

A model of another shape, to see that a method was not made for the first one:

    python -m training.train --vae-from pixart_tui/assets/pixart-emoji --blocks 6 --heads 6 \
        --guidance-scale 3 --output build/pixart-emoji-wide
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PixArtAlphaPipeline
from transformers import T5Tokenizer

from training.architecture import (
    BLOCKS,
    DEFAULT_CALL,
    HEADS,
    MAX_TOKENS,
    build_scheduler,
    build_text_encoder,
    build_transformer,
    build_vae,
)
from training.captions import Emoji, caption
from training.dataset import DEFAULT_DATA, Dataset, load
from training.denoiser import Denoiser, make_examples, train_denoiser, zero_initialise
from training.vae import encode, normalise_latents, train_vae
from training.vocabulary import build_tokenizer

DEFAULT_OUTPUT = Path("build/pixart-emoji")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument(
        "--vae-seconds", type=float, default=190, help="0 takes the autoencoder of the last run"
    )
    parser.add_argument("--denoiser-seconds", type=float, default=375, help="0 trains none")
    parser.add_argument("--vae-from", type=Path, help="take the autoencoder of this pipeline")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of the transformer")
    parser.add_argument("--heads", type=int, default=HEADS, help="64 channels each")
    parser.add_argument("--guidance-scale", type=float, default=DEFAULT_CALL["guidance_scale"])
    parser.add_argument("--vae-batch", type=int, default=192)
    parser.add_argument("--denoiser-batch", type=int, default=1024)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def make_tokenizer(emoji: list[Emoji]) -> T5Tokenizer:
    """Return a tokenizer that knows every word of the labels and tags."""
    return build_tokenizer((caption(item.label, item.tags) for item in emoji), MAX_TOKENS)


def obtain_vae(options: argparse.Namespace, images: torch.Tensor) -> AutoencoderKL:
    """Train an autoencoder, or load one: of a pipeline, or what an earlier run left."""
    if options.vae_from is not None:
        vae = AutoencoderKL.from_pretrained(options.vae_from, subfolder="vae")
        return vae.float().to(options.device).eval()
    vae = build_vae().to(options.device)
    checkpoint = options.output.with_suffix(".vae.pt")
    if options.vae_seconds > 0:
        vae.to(memory_format=torch.channels_last)
        steps = train_vae(vae, images, options.vae_batch, options.vae_seconds)
        vae.to(memory_format=torch.contiguous_format)
        normalise_latents(vae, encode(vae, images))
        print(f"autoencoder: {steps} steps")
        torch.save(vae.state_dict(), checkpoint)
    vae.load_state_dict(torch.load(checkpoint, weights_only=True))
    return vae.eval()


def obtain_denoiser(
    options: argparse.Namespace, dataset: Dataset, latents: torch.Tensor, tokenizer: T5Tokenizer
) -> Denoiser:
    """Train the text encoder and the transformer on the latents."""
    transformer = build_transformer(options.blocks, options.heads)
    model = Denoiser(build_text_encoder(len(tokenizer)), transformer).to(options.device)
    zero_initialise(model.transformer)
    if options.denoiser_seconds > 0:
        examples = make_examples(latents, dataset.emoji, tokenizer)
        steps = train_denoiser(model, examples, options.denoiser_batch, options.denoiser_seconds)
        print(f"text encoder and transformer: {steps} steps")
    return model.eval()


def save(
    folder: Path,
    vae: AutoencoderKL,
    model: Denoiser,
    tokenizer: T5Tokenizer,
    guidance_scale: float,
) -> None:
    """Write the pipeline in bfloat16 with its default call."""
    pipeline = PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=model.text,
        vae=vae,
        transformer=model.transformer,
        scheduler=build_scheduler(),
    )
    pipeline.to(dtype=torch.bfloat16).save_pretrained(folder)
    declare_float32(folder / "text_encoder" / "config.json")
    call = DEFAULT_CALL | {"guidance_scale": guidance_scale}
    (folder / "pixart_tui.json").write_text(json.dumps(call, indent=2) + "\n")


def declare_float32(config: Path) -> None:
    """Make a plain `from_pretrained` load the text encoder in float32.

    Without a dtype, diffusers loads its parts in float32 and transformers in the dtype that the
    configuration names; a pipeline of two dtypes does not run.
    """
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "dtype": "float32"}, indent=2) + "\n")


def main() -> None:
    """Train what was asked for and save the pipeline."""
    options = parse()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.suppress_errors = True  # A part that cannot compile runs as it is.
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    print(f"training on {where}, torch {torch.__version__}")
    dataset = load(options.data)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    images = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).contiguous().to(options.device)
    vae = obtain_vae(options, images)
    latents = encode(vae, images)
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}")
    tokenizer = make_tokenizer(dataset.emoji)
    model = obtain_denoiser(options, dataset, latents, tokenizer)
    save(options.output, vae, model, tokenizer, options.guidance_scale)
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
