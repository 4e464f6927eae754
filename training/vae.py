"""Train the autoencoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from torch import Tensor

from training.schedule import Budget, Clock, cosine, set_rate

RATE = 2e-3
KL_WEIGHT = 3e-4
SSIM_WEIGHT = 0.5
WINDOW = 7


def to_signal(images: Tensor) -> Tensor:
    """Map bytes to -1..1."""
    return images.float() / 127.5 - 1


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean structural similarity of signals in -1..1, with a flat window."""
    small, large = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_a, mean_b = F.avg_pool2d(first, WINDOW, 1), F.avg_pool2d(second, WINDOW, 1)
    var_a = F.avg_pool2d(first * first, WINDOW, 1) - mean_a**2
    var_b = F.avg_pool2d(second * second, WINDOW, 1) - mean_b**2
    covariance = F.avg_pool2d(first * second, WINDOW, 1) - mean_a * mean_b
    light = (2 * mean_a * mean_b + small) / (mean_a**2 + mean_b**2 + small)
    shape = (2 * covariance + large) / (var_a + var_b + large)
    return (light * shape).mean()


def vae_loss(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Return the reconstruction loss plus a little pull of the latents towards a normal."""
    signal = to_signal(images)
    with torch.autocast(images.device.type, torch.bfloat16):
        moments = vae.quant_conv(vae.encoder(signal)).float()
        mean, logvar = moments.chunk(2, dim=1)
        logvar = logvar.clamp(-30, 20)
        latents = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        decoded = vae.decoder(vae.post_quant_conv(latents)).float()
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    pixels = (decoded - signal).abs().mean()
    loss: Tensor = pixels + SSIM_WEIGHT * (1 - ssim(decoded, signal)) + KL_WEIGHT * kl
    return loss


def train_vae(vae: AutoencoderKL, images: Tensor, batch: int, budget: Budget) -> int:
    """Train on bytes of shape (count, 3, height, width) within `budget`; return the steps."""
    vae.train()
    optimizer = torch.optim.AdamW(vae.parameters(), RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    loss_of = torch.compile(vae_loss) if images.is_cuda else vae_loss
    torch.autograd.backward(loss_of(vae, images[:batch]))
    clock = Clock(budget, images.device)
    for progress in clock.steps():
        set_rate(optimizer, RATE * cosine(progress))
        pick = torch.randint(len(images), (batch,), device=images.device)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(vae, images[pick])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        clock.report("vae", loss)
    return clock.step


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Tensor, batch: int = 64) -> Tensor:
    """Return the most likely latents of each picture, in float32."""
    vae.eval()
    parts = [vae.encode(to_signal(part)).latent_dist.mode() for part in torch.split(images, batch)]
    return torch.cat(parts)


@torch.no_grad()
def normalize_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Fold a shift and a scale into the autoencoder so that each channel is standard.

    The pipeline knows one scaling factor for all channels and no shift, while pictures on white
    are far from zero mean. The two 1 x 1 convolutions around the latents absorb both exactly.
    """
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    inner, outer = vae.quant_conv, vae.post_quant_conv
    outer.bias += outer.weight[:, :, 0, 0] @ mean
    outer.weight *= std[None, :, None, None]
    inner.weight[:channels] /= std[:, None, None, None]
    inner.bias[:channels] = (inner.bias[:channels] - mean) / std
    inner.bias[channels:] -= 2 * std.log()
    return (latents - mean[:, None, None]) / std[:, None, None]
