"""Tiny PixArt models in float64, whose images can be differentiated by finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import diffusers
import torch
from torch import Tensor, nn

from pixart_tui.domain.events import PassPlanned
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import denoise
from pixart_tui.engine.sensitivity.adjoint.backward import Backward
from pixart_tui.engine.sensitivity.rendering import Batch, Renderer, Sample, Settings

QUANT_TYPE: Final = "fp8_e4m3_e4m3_dynamic"
SAMPLES: Final = (Sample("a red apple", 3), Sample("robot", 4))
WHOLE: Final = PassPlanned(
    samples=2, draws=2, keeps_hidden_states=True, keeps_weights=True, decoder_at_once=True
)
HEIGHT, WIDTH = 32, 48

ALPHA, SIGMA = "synthetic:alpha-tiny", "synthetic:sigma-tiny"


def settings(**changes: Any) -> Settings:
    """Three guided steps of images that are not square."""
    usual: dict[str, Any] = {
        "samples": SAMPLES,
        "negative_prompt": "",
        "num_inference_steps": 3,
        "guidance_scale": 4.5,
        "height": HEIGHT,
        "width": WIDTH,
        "max_sequence_length": 16,
    }
    return Settings(**{**usual, **changes})


def renderer(
    model: str = SIGMA,
    *,
    dtype: torch.dtype = torch.float64,
    scheduler: str = "DPMSolverMultistepScheduler",
    config: Mapping[str, Any] | None = None,
    contrast: float = 0.2,
    **changes: Any,
) -> Renderer:
    """Makes images of a model of random weights; by default no pixel reaches 0 or 1.

    Args:
        model: Its name.
        dtype: Of its weights.
        scheduler: The scheduler's class.
        config: What differs from its configuration.
        contrast: Of the images.
        changes: What differs from the usual settings.
    """
    pipeline = load_pipeline(model, dtype=dtype, device=torch.device("cpu")).pipeline
    own = pipeline.scheduler.config
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(own, **(config or {}))
    with torch.no_grad():
        pipeline.vae.decoder.conv_out.weight.mul_(contrast)
    return Renderer(pipeline, settings(**changes), lambda: None)


def linears(made: Renderer) -> list[str]:
    """Every linear of the transformer, in the model's order."""
    named = made.transformer.named_modules()
    return [fqn for fqn, module in named if isinstance(module, nn.Linear)]


def backward(
    made: Renderer,
    able: Sequence[str] | None = None,
    *,
    draws: int = 2,
    quant_types: Sequence[str] = (QUANT_TYPE,),
    attention: Mapping[str, bool] | None = None,
) -> Backward:
    """Measures a model's layers.

    Args:
        made: Makes the images.
        able: The layers that can be quantized; None for all.
        draws: Functionals of a sample.
        quant_types: What to.
        attention: Attention modules, and whether each can run in fp8; None measures none.
    """
    layers = linears(made)
    by_type = {parse_quant_type(name): able or layers for name in quant_types}
    return Backward(
        made,
        layers,
        by_type,
        execution=Execution.SIMULATED,
        draws=draws,
        check=lambda: None,
        attention=attention or {},
    )


def attentions(made: Renderer) -> list[str]:
    """The self-attention of every block."""
    blocks = range(len(made.pipeline.transformer.transformer_blocks))
    return [f"transformer_blocks.{index}.attn1" for index in blocks]


def totals(sample: SampleEffects, quant_type: str = QUANT_TYPE) -> Tensor:
    """The sum of a sample's effects over the calls, (draws, layers), float64."""
    return torch.from_numpy(sample.effects[quant_type].array()).double().sum(2)


class SmoothError:
    """Stands in for the local error of quantizing: a smooth function of the layer's input."""

    scale = 1.0

    def __init__(
        self, linear: nn.Linear, _type: QuantType, _layout: BatchLayout, _execution: Execution
    ) -> None:
        generator = torch.Generator().manual_seed(linear.in_features + 1000 * linear.out_features)
        shape = (linear.in_features, linear.out_features)
        mixed = torch.randn(shape, generator=generator, dtype=torch.float64)
        self._mixed = (mixed / linear.in_features**0.5).to(linear.weight.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """The error, (..., N), at the input (..., K)."""
        return self.scale * torch.tanh(x @ self._mixed)


@contextmanager
def injected(transformer: nn.Module, layer: str, epsilon: float) -> Iterator[None]:
    """A layer's output changes by epsilon times its smooth error meanwhile."""
    linear = transformer.get_submodule(layer)
    assert isinstance(linear, nn.Linear)
    error = SmoothError(linear, parse_quant_type(QUANT_TYPE), BatchLayout(), Execution.SIMULATED)
    handle = linear.register_forward_hook(
        lambda _module, inputs, output: output + epsilon * error(inputs[0])
    )
    try:
        yield
    finally:
        handle.remove()


class SmoothAttentionError:
    """Stands in for the local error of fp8 attention: a smooth function of what it reads."""

    def __init__(self, _execution: Execution) -> None:
        pass

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, exact: Tensor) -> Tensor:
        """The error, (B, S, H D), for queries, keys and values (B, H, S, D)."""
        q, k, v = (x.transpose(1, 2).flatten(2) for x in (q, k, v))
        return self.of(q, k, v, exact)

    @staticmethod
    def of(q: Tensor, k: Tensor, v: Tensor, exact: Tensor) -> Tensor:
        """The error from tensors (B, S, H D)."""
        return torch.tanh(q.roll(1, 2) - 2 * k) + torch.sin(3 * v.roll(1, 1)) * exact.cos()


@contextmanager
def injected_attention(transformer: nn.Module, name: str, epsilon: float) -> Iterator[None]:
    """The product of an attention module changes by epsilon times its smooth error meanwhile."""
    module = transformer.get_submodule(name)
    read: dict[str, Tensor] = {}

    def reader(linear: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        return lambda _module, _inputs, output: read.update({linear: output})

    def inject(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        error = SmoothAttentionError.of(read["to_q"], read["to_k"], read["to_v"], inputs[0])
        return (inputs[0] + epsilon * error,)

    handles = [
        module.get_submodule(x).register_forward_hook(reader(x)) for x in ("to_q", "to_k", "to_v")
    ]
    handles.append(module.get_submodule("to_out.0").register_forward_pre_hook(inject))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def image_of(made: Renderer, batch: Batch) -> Tensor:
    """Images by the stock transformer and decoder, (n, 3, height, width), in the model's dtype."""
    asked, pipeline = made.settings, made.pipeline
    latents = denoise(
        pipeline,
        batch.conditioning,
        batch.noise,
        seeds=[sample.seed for sample in batch.samples],
        num_inference_steps=asked.num_inference_steps,
        timesteps=asked.timesteps,
        guidance_scale=asked.guidance_scale,
        height=asked.height,
        width=asked.width,
    )
    decoded: Tensor = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    return (decoded * 0.5 + 0.5).clamp(0, 1)
