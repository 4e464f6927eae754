"""Train the text encoder and the transformer together to predict noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import PixArtTransformer2DModel
from torch import Tensor, nn
from transformers import T5EncoderModel, T5Tokenizer

from training.architecture import BETA_END, BETA_START, MAX_TOKENS, TRAIN_TIMESTEPS
from training.captions import Emoji, caption_variants
from training.schedule import Budget, Clock, MovingAverage, constant_then_decay, set_rate

TAGGED_CAPTIONS = 12
# How often a sample is captioned with nothing, with its label, with its label and tags.
EMPTY, LABEL, TAGGED = 0.1, 0.5, 0.4

Sample: TypeAlias = tuple[Tensor, Tensor, Tensor]


class Denoiser(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, text: T5EncoderModel, transformer: PixArtTransformer2DModel) -> None:
        super().__init__()
        self.text = text
        self.transformer = transformer

    def forward(self, noisy: Tensor, steps: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Predict the noise in `noisy` at `steps`, given captions."""
        embeds = self.text(tokens, attention_mask=mask)[0]
        noise: Tensor = self.transformer(
            noisy,
            encoder_hidden_states=embeds,
            encoder_attention_mask=mask,
            timestep=steps,
            return_dict=False,
        )[0]
        return noise


@dataclass(frozen=True)
class Recipe:
    """How the two networks are trained.

    Attributes:
        batch: Samples of a step.
        rate: The highest learning rate.
        ema: Decay of the moving average of the weights.
        budget: When to stop.
        compile_blocks: On a GPU, compile one block of the transformer for all of them and not the
            whole loss, which takes minutes for a deep one.
    """

    batch: int
    rate: float
    ema: float
    budget: Budget
    compile_blocks: bool = False


@dataclass(frozen=True)
class Examples:
    """Latents, and for each of them the tokens of several captions, the last one empty."""

    latents: Tensor
    tokens: Tensor
    mask: Tensor
    odds: Tensor

    def draw(self, batch: int) -> Sample:
        """Return random latents with the tokens and the mask of one of their captions."""
        pick = torch.randint(len(self.latents), (batch,), device=self.latents.device)
        variant = torch.multinomial(self.odds, batch, replacement=True)
        return self.latents[pick], self.tokens[pick, variant], self.mask[pick, variant]


def make_examples(latents: Tensor, emoji: Sequence[Emoji], tokenizer: T5Tokenizer) -> Examples:
    """Write and tokenize the captions of each emoji."""
    rng = random.Random(0)
    captions = [[*caption_variants(item, TAGGED_CAPTIONS, rng), ""] for item in emoji]
    flat = [text for variants in captions for text in variants]
    encoded = tokenizer(
        flat, padding=True, pad_to_multiple_of=8, truncation=True, max_length=MAX_TOKENS,
        return_tensors="pt",
    )  # fmt: skip
    shape, device = (len(emoji), TAGGED_CAPTIONS + 2, -1), latents.device
    odds = torch.tensor([LABEL, *[TAGGED / TAGGED_CAPTIONS] * TAGGED_CAPTIONS, EMPTY])
    return Examples(
        latents,
        encoded.input_ids.reshape(shape).to(device),
        encoded.attention_mask.reshape(shape).to(device),
        odds.to(device),
    )


def zero_initialize(transformer: PixArtTransformer2DModel) -> None:
    """Start the transformer as the identity: no modulation, no text, no noise."""
    layers = [transformer.proj_out, transformer.adaln_single.linear]
    layers += [block.attn2.to_out[0] for block in transformer.transformer_blocks]
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def denoiser_loss(model: Denoiser, alphas: Tensor, sample: Sample) -> Tensor:
    """Return the mean squared error of the predicted noise at random steps."""
    latents, tokens, mask = sample
    steps = torch.randint(TRAIN_TIMESTEPS, (len(latents),), device=latents.device)
    signal = alphas[steps][:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    with torch.autocast(latents.device.type, torch.bfloat16):
        predicted = model(noisy, steps, tokens, mask)
    return F.mse_loss(predicted.float(), noise)


def compile_loss(model: Denoiser, blocks: bool) -> Callable[[Denoiser, Tensor, Sample], Tensor]:
    """Return the loss to call, compiled as a whole or with compiled `blocks`."""
    if not blocks:
        return torch.compile(denoiser_loss)
    for block in model.transformer.transformer_blocks:
        block.compile()
    return denoiser_loss


def train_denoiser(model: Denoiser, examples: Examples, recipe: Recipe) -> int:
    """Train as `recipe` says, leave the averaged weights in `model`, return the steps."""
    device = examples.latents.device
    betas = torch.linspace(BETA_START, BETA_END, TRAIN_TIMESTEPS, device=device)
    alphas = (1 - betas).cumprod(0)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
    )
    average = MovingAverage(model, recipe.ema)
    on_gpu = device.type == "cuda"
    loss_of = compile_loss(model, recipe.compile_blocks) if on_gpu else denoiser_loss
    torch.autograd.backward(loss_of(model, alphas, examples.draw(recipe.batch)))
    clock = Clock(recipe.budget, device)
    for progress in clock.steps():
        set_rate(optimizer, recipe.rate * constant_then_decay(progress))
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model, alphas, examples.draw(recipe.batch))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(clock.step)
        clock.report("denoiser", loss)
    average.apply()
    return clock.step
