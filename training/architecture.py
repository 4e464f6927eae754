"""The parts of `pixart-emoji`: stock classes with small shapes."""

from __future__ import annotations

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from transformers import T5Config, T5EncoderModel

IMAGE_SIZE = 128
LATENT_SIZE = 16
LATENT_CHANNELS = 4
TEXT_WIDTH = 256
MAX_TOKENS = 32
BLOCKS = 8
HEADS = 4
HEAD_DIM = 64
TRAIN_TIMESTEPS = 1000
BETA_START = 1e-4
BETA_END = 0.02
DEFAULT_CALL = {
    "num_inference_steps": 20,
    "guidance_scale": 2.0,
    "height": IMAGE_SIZE,
    "width": IMAGE_SIZE,
    "max_sequence_length": MAX_TOKENS,
}


def build_vae() -> AutoencoderKL:
    """Return an autoencoder that turns 128 pixels into 16 x 16 x 4 latents."""
    widths = (32, 64, 96, 128)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        scaling_factor=1.0,
        force_upcast=False,
    )


def build_text_encoder(vocabulary_size: int) -> T5EncoderModel:
    """Return a three-layer T5 encoder."""
    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=TEXT_WIDTH,
        d_kv=64,
        d_ff=512,
        num_layers=3,
        num_heads=4,
        dropout_rate=0.0,
        use_cache=False,
    )
    return T5EncoderModel(config)


def build_transformer(
    blocks: int = BLOCKS, heads: int = HEADS, head_dim: int = HEAD_DIM
) -> PixArtTransformer2DModel:
    """Return a PixArt transformer; 8 blocks of 4 heads have 86 linear layers."""
    return PixArtTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        num_layers=blocks,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        cross_attention_dim=heads * head_dim,
        caption_channels=TEXT_WIDTH,
        sample_size=LATENT_SIZE,
        patch_size=2,
        use_additional_conditions=False,
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Return the sampler, with the noise schedule that training uses."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=BETA_START,
        beta_end=BETA_END,
        beta_schedule="linear",
        algorithm_type="dpmsolver++",
        solver_order=2,
    )
