r"""Train `pixart-emoji`: `python -m training.train`.

Models of other shapes, to see that a method was not made for the first one: a wider one, and the
shape of the published models.

    python -m training.train --vae-from pixart_tui/assets/pixart-emoji --blocks 6 --heads 6 \
        --guidance-scale 3 --output build/pixart-emoji-wide
    python -m training.train --published-shape

`--steps` trains for a number of steps and not of seconds. With one seed, two such runs on a CPU
leave the same bytes.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PixArtAlphaPipeline
from transformers import T5EncoderModel, T5Tokenizer

from training.architecture import (
    DEFAULT_CALL,
    MAX_TOKENS,
    build_scheduler,
    build_text_encoder,
    build_transformer,
    build_vae,
)
from training.captions import Emoji, caption
from training.dataset import Dataset, load
from training.denoiser import Denoiser, make_examples, train_denoiser, zero_initialize
from training.options import parse, recipe, vae_budget
from training.vae import encode, normalize_latents, train_vae
from training.vocabulary import build_tokenizer


def obtain_text(source: Path | None, emoji: list[Emoji]) -> tuple[T5Tokenizer, T5EncoderModel]:
    """Take the tokenizer and the text encoder of a pipeline, or make them for these words."""
    if source is None:
        texts = (caption(item.label, item.tags) for item in emoji)
        tokenizer = build_tokenizer(texts, MAX_TOKENS)
        return tokenizer, build_text_encoder(len(tokenizer))
    known = T5Tokenizer.from_pretrained(source, subfolder="tokenizer", local_files_only=True)
    text = T5EncoderModel.from_pretrained(source, subfolder="text_encoder", local_files_only=True)
    return known, text.float()


def obtain_vae(options: argparse.Namespace, images: torch.Tensor) -> AutoencoderKL:
    """Train an autoencoder, or load one: of a pipeline, or what an earlier run left."""
    if options.vae_from is not None:
        vae = AutoencoderKL.from_pretrained(
            options.vae_from, subfolder="vae", local_files_only=True
        )
        return vae.float().to(options.device).eval()
    vae = build_vae().to(options.device)
    checkpoint = options.output.with_suffix(".vae.pt")
    if not (budget := vae_budget(options)).empty:
        vae.to(memory_format=torch.channels_last)
        steps = train_vae(vae, images, options.vae_batch, budget)
        vae.to(memory_format=torch.contiguous_format)
        normalize_latents(vae, encode(vae, images))
        print(f"autoencoder: {steps} steps", flush=True)
        torch.save(vae.state_dict(), checkpoint)
    vae.load_state_dict(torch.load(checkpoint, weights_only=True))
    return vae.eval()


def obtain_denoiser(
    options: argparse.Namespace, dataset: Dataset, latents: torch.Tensor
) -> tuple[Denoiser, T5Tokenizer]:
    """Train the text encoder and the transformer on the latents."""
    tokenizer, text = obtain_text(options.text_from, dataset.emoji)
    transformer = build_transformer(options.blocks, options.heads, options.head_dim)
    model = Denoiser(text, transformer).to(options.device)
    zero_initialize(model.transformer)
    if not (chosen := recipe(options)).budget.empty:
        examples = make_examples(latents, dataset.emoji, tokenizer)
        started = time.monotonic()
        steps = train_denoiser(model, examples, chosen)
        seconds = time.monotonic() - started
        print(f"text encoder and transformer: {steps} steps, {seconds:.0f} s", flush=True)
    return model.eval(), tokenizer


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


def configure_torch() -> None:
    """Prefer speed to the last bits."""
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.suppress_errors = True  # A part that cannot compile runs as it is.


def run(options: argparse.Namespace) -> None:
    """Train what was asked for and save the pipeline."""
    torch.manual_seed(options.seed)
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    print(f"training on {where}, torch {torch.__version__}", flush=True)
    dataset = load(options.data)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    images = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).contiguous().to(options.device)
    vae = obtain_vae(options, images)
    latents = encode(vae, images)
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}", flush=True)
    model, tokenizer = obtain_denoiser(options, dataset, latents)
    save(options.output, vae, model, tokenizer, options.guidance_scale)
    print(f"saved {options.output}", flush=True)


def main() -> None:
    """Read the command line and train."""
    options = parse()
    configure_torch()
    run(options)


if __name__ == "__main__":
    main()
