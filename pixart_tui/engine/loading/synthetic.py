"""PixArt pipelines of the published shapes with random weights, built without any download."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.engine.loading.config_files import brief
from pixart_tui.engine.loading.fingerprint import fingerprint_text
from pixart_tui.engine.loading.libraries import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    warnings_to_log,
)
from pixart_tui.engine.loading.loaded import (
    CallDefaults,
    Family,
    LoadedPipeline,
    stock_defaults,
)
from pixart_tui.engine.typing import Pipeline, Tokenizer

SYNTHETIC_PREFIX: Final = "synthetic:"

_SEED: Final = 0
_BIAS_STD: Final = 0.02
_RECIPE_VERSION: Final = 2

Config: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """The parts of a synthetic pipeline.

    Attributes:
        family: Which pipeline it is.
        transformer: Arguments of ``PixArtTransformer2DModel``.
        text_encoder: Arguments of ``T5Config``.
        vae: Arguments of ``AutoencoderKL``.
        defaults: How it is called, None for the stock defaults of its family.
    """

    family: Family
    transformer: Config
    text_encoder: Config
    vae: Config
    defaults: CallDefaults | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the weights."""
        parts = (self.family, self.transformer, self.text_encoder, self.vae)
        recipe = [_RECIPE_VERSION, _SEED, *(x if isinstance(x, str) else dict(x) for x in parts)]
        return fingerprint_text(json.dumps(recipe, sort_keys=True))


_XL: Final = {"sample_size": 128, "cross_attention_dim": 1152, "caption_channels": 4096}
_T5_XXL: Final = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
_VAE: Final = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}
_SD_VAE: Final = {**_VAE, "sample_size": 512, "scaling_factor": 0.18215}
_SDXL_VAE: Final = {**_VAE, "sample_size": 1024, "scaling_factor": 0.13025}

_TINY_DEFAULTS: Final = CallDefaults(4, 4.5, 64, 64, 16)
_TINY_T5: Final = {**_T5_XXL, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
_TINY_VAE: Final = {
    **_VAE,
    "block_out_channels": (16,) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 64,
}
# Additional conditions want a width that 3 divides; 40 caption channels break the 16-multiple
# rule of the kernels, so that there is a linear to exclude.
_TINY_ALPHA: Final = {
    "num_layers": 2,
    "num_attention_heads": 3,
    "attention_head_dim": 16,
    "cross_attention_dim": 48,
    "caption_channels": 40,
    "sample_size": 128,
    "use_additional_conditions": True,
}
_TINY_SIGMA: Final = {
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "caption_channels": 32,
    "sample_size": 8,
    "use_additional_conditions": False,
}

_RECIPES: Final[Mapping[str, _Recipe]] = {
    "alpha": _Recipe("alpha", {**_XL, "use_additional_conditions": True}, _T5_XXL, _SD_VAE),
    "sigma": _Recipe("sigma", {**_XL, "use_additional_conditions": False}, _T5_XXL, _SDXL_VAE),
    "alpha-tiny": _Recipe(
        "alpha",
        _TINY_ALPHA,
        {**_TINY_T5, "d_model": 40, "vocab_size": 256},
        {**_TINY_VAE, "scaling_factor": 0.18215},
        _TINY_DEFAULTS,
    ),
    "sigma-tiny": _Recipe(
        "sigma",
        _TINY_SIGMA,
        {**_TINY_T5, "d_model": 32, "vocab_size": 256},
        {**_TINY_VAE, "scaling_factor": 0.13025},
        _TINY_DEFAULTS,
    ),
}


def build_synthetic(model: str, dtype: torch.dtype, device: torch.device) -> LoadedPipeline:
    """Build a pipeline with random weights.

    The tiny models have the same weights for every dtype and device, up to rounding. The others
    are for speed: their weights are drawn on the device, in the dtype.

    Args:
        model: ``synthetic:alpha``, ``:sigma``, ``:alpha-tiny`` or ``:sigma-tiny``.
        dtype: Floating-point type of the weights.
        device: Where they are; on ``meta`` there are shapes and no weights.

    Raises:
        RequestError: There is no such synthetic model.
        WorkError: The device has too little memory.
    """
    recipe = _RECIPES.get(model.removeprefix(SYNTHETIC_PREFIX))
    if recipe is None:
        known = ", ".join(SYNTHETIC_PREFIX + name for name in _RECIPES)
        raise RequestError(f"there is no model {model}"[:200], next_step=f"Choose one of {known}.")
    try:
        with warnings_to_log():
            pipeline = _assemble(recipe, dtype, device)
    except torch.OutOfMemoryError as error:
        raise WorkError(
            "the model does not fit into the device's memory",
            cause=f"{model} on {device}: {brief(error)}",
            next_step="Choose a smaller dtype or another device.",
        ) from error
    return LoadedPipeline(
        pipeline=pipeline,
        name=model,
        source="synthetic",
        family=recipe.family,
        fingerprint=recipe.fingerprint,
        defaults=recipe.defaults or stock_defaults(pipeline, recipe.family),
    )


def _assemble(recipe: _Recipe, dtype: torch.dtype, device: torch.device) -> Pipeline:
    with torch.device("meta"):
        transformer = PixArtTransformer2DModel(**recipe.transformer)
        models: dict[str, nn.Module] = {
            "transformer": transformer,
            "text_encoder": T5EncoderModel(T5Config(**recipe.text_encoder)),
            "vae": AutoencoderKL(**recipe.vae),
        }
    transformer.pos_embed.pos_embed = _positions(recipe.transformer)
    portable = recipe.defaults is not None and device.type != "meta"
    for model in models.values():
        if portable:
            _materialize(model, torch.float32, torch.device("cpu"))
            model.to(device, dtype)
        else:
            _materialize(model, dtype, device)
    _scale_queries(models["text_encoder"])
    stock = PixArtAlphaPipeline if recipe.family == "alpha" else PixArtSigmaPipeline
    pipeline = stock(tokenizer=_tokenizer(), scheduler=DPMSolverMultistepScheduler(), **models)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _positions(config: Config) -> Tensor:
    # The one buffer: a model without blocks computes it for real, in no time.
    positions: Tensor = PixArtTransformer2DModel(**{**config, "num_layers": 0}).pos_embed.pos_embed
    return positions


def _materialize(model: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
    generator = None if device.type == "meta" else torch.Generator(device).manual_seed(_SEED)
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            # T5 reaches its embedding by two names; both must stay one tensor.
            if id(parameter) not in made:
                values = torch.empty(parameter.shape, dtype=dtype, device=device)
                if generator is not None:
                    _draw(values, module, name, generator)
                made[id(parameter)] = nn.Parameter(values, requires_grad=False)
            setattr(module, name, made[id(parameter)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device, dtype))
    model.eval()


def _draw(values: Tensor, module: nn.Module, name: str, generator: torch.Generator) -> None:
    """Draw weights that keep activations near unit scale."""
    if values.ndim == 1 and name == "weight":
        values.fill_(1.0)
        return
    fan_in = values[0].numel()
    std = 1.0 if isinstance(module, nn.Embedding) else 1.0 / math.sqrt(fan_in)
    values.normal_(0.0, _BIAS_STD if values.ndim == 1 else std, generator=generator)


@torch.no_grad()
def _scale_queries(text_encoder: Any) -> None:
    """T5 divides no scores by the root of the head size; its queries start that much smaller.

    As ``T5PreTrainedModel`` initializes them. Without it softmax picks single tokens, and any
    rounding grows into other embeddings.
    """
    for block in text_encoder.encoder.block:
        attention = block.layer[0].SelfAttention
        attention.q.weight.mul_(attention.key_value_proj_dim**-0.5)


def _tokenizer() -> Tokenizer:
    # Single characters: any text has tokens, and no vocabulary has to be shipped.
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    characters = [(chr(code), -3.0) for code in range(ord("!"), ord("~") + 1)]
    return T5Tokenizer(vocab=special + characters, extra_ids=0)
