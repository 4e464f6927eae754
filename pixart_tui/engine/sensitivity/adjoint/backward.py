"""The effects of every layer on a few samples: one trajectory forward, several draws back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from pixart_tui.domain.effects import PackedArray, SampleEffects, TypeEffects
from pixart_tui.domain.events import PassPlanned
from pixart_tui.domain.quant_types import QuantType
from pixart_tui.engine.image_metrics import finite_per_sample, ssim_per_image
from pixart_tui.engine.precision import tensor_float32
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import guide, micro_conditions
from pixart_tui.engine.schedule import Schedule
from pixart_tui.engine.sensitivity.adjoint.functional import draw_generator, functional_gradients
from pixart_tui.engine.sensitivity.adjoint.parts import Call, TransformerParts, decoder_parts
from pixart_tui.engine.sensitivity.adjoint.pulling import TransformerAdjoint, chained, pull_through
from pixart_tui.engine.sensitivity.adjoint.sampler import SamplerGraph
from pixart_tui.engine.sensitivity.adjoint.taps import Pass, Taps
from pixart_tui.engine.sensitivity.rendering import Batch, Renderer, Sample

_WHOLE_DRAWS: Final = 2
"""Draws that go back through every call before it is decided how far the others go."""
_EARLY_SHARE: Final = 0.01
"""Part of the effects, in squares, that a short draw may miss."""
_SHORT: Final = 1 / 3
"""Part of the calls that a short draw may take; its saving pays for twice as many draws."""


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What a sample's passes gave.

    Attributes:
        effects: Its effects.
        image: The undisturbed image, (3, height, width), on the CPU.
        joint: Quant type to the image with every layer's local error added.
    """

    effects: SampleEffects
    image: Tensor
    joint: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Forward:
    """The undisturbed trajectories of a batch.

    Attributes:
        batch: Samples, conditioning and noise.
        layout: How images lie among the rows of a transformer call.
        predictions: Of each call, the guided prediction.
        hidden_states: Of each call, what the blocks got and the last gave; empty if not kept.
        latents: The final ones.
        images: (n, 3, height, width).
        joint: With every layer's local error added, (types, n, 3, height, width).
    """

    batch: Batch
    layout: BatchLayout
    predictions: list[Tensor]
    hidden_states: list[list[Tensor]]
    latents: Tensor
    images: Tensor
    joint: Tensor


class Backward:
    """Measures the effects of a transformer's layers.

    Args:
        renderer: Makes undisturbed images; its transformer is tapped from here on.
        layers: Every layer, in the order of the effects.
        able: Quant type to the layers that can have it.
        execution: The reference numerics or the real kernel.
        draws: Functionals of each sample; twice as many where most can be short.
        check: Called after each transformer call; may raise to give up.
    """

    def __init__(
        self,
        renderer: Renderer,
        layers: Sequence[str],
        able: Mapping[QuantType, Sequence[str]],
        execution: Execution,
        draws: int,
        check: Callable[[], None],
    ) -> None:
        self._renderer, self._layers, self._able = renderer, layers, able
        self._execution, self._draws, self._check = execution, draws, check
        transformer, pipeline = renderer.transformer, renderer.pipeline
        transformer.requires_grad_(False)
        pipeline.vae.requires_grad_(False)
        types = tuple(able)
        by_layer = {x: [kind for kind in types if x in able[kind]] for x in layers}
        self._taps = Taps(transformer, by_layer, types, execution)
        self._adjoint = TransformerAdjoint(TransformerParts(transformer), self._taps)
        self._decoder = decoder_parts(pipeline.vae)

    def measure(self, samples: tuple[Sample, ...], plan: PassPlanned) -> list[SampleResult]:
        """The effects of each sample.

        Args:
            samples: As many as the plan says, or fewer.
            plan: How the memory is used.
        """
        start_s = time.perf_counter()
        self._taps.keeps_weights = plan.keeps_weights
        forward = self._forward(samples, plan)
        with tensor_float32():
            whole = min(_WHOLE_DRAWS, self._draws)
            found, gradients = self._carry(forward, range(whole), 0, plan)
            starts = [late_start(found[:, i]) for i in range(len(samples))]
            counts = [2 * self._draws if start else self._draws for start in starts]
            rest = range(whole, max(counts))
            if rest:
                more, more_gradients = self._carry(forward, rest, min(starts), plan)
                found = torch.cat([found, more], 2)
                gradients = torch.cat([gradients, more_gradients], 1)
        elapsed_s = (time.perf_counter() - start_s) / len(samples)
        results = []
        for i, sample in enumerate(samples):
            short = counts[i] - whole
            effects = found[:, i, : counts[i]]
            effects[: starts[i], whole:] = 0
            types = {
                kind.name: _type_effects(
                    effects[..., at],
                    forward.images[i],
                    forward.joint[at, i],
                    gradients[i, : counts[i]],
                )
                for at, kind in enumerate(self._able)
            }
            measured = SampleEffects(
                prompt=sample.prompt,
                seed=sample.seed,
                first_calls=(0,) * whole + (starts[i],) * short,
                types=types,
                elapsed_s=elapsed_s,
            )
            images = {
                kind.name: image.cpu()
                for kind, image in zip(self._able, forward.joint[:, i], strict=True)
            }
            results.append(SampleResult(measured, forward.images[i].cpu(), images))
        return results

    @torch.no_grad()
    def _forward(self, samples: tuple[Sample, ...], plan: PassPlanned) -> _Forward:
        """The undisturbed trajectories, and beside them those with every local error added."""
        batch = self._renderer.prepare(samples)
        count, variants = len(samples), 1 + len(self._able)
        layout = BatchLayout(2 if self._guided else 1, count)
        schedule = self._schedule(batch, variants)
        dtype = batch.conditioning.prompt_embeds.dtype
        latents = batch.noise.to(dtype).repeat(variants, 1, 1, 1) * schedule.init_noise_sigma
        predictions, hidden_states = [], []
        for at in range(len(schedule)):
            inputs = schedule.inputs(latents, at)
            call = self._call(batch, schedule.timesteps[at], inputs, variants)
            with self._taps.errors_added(layout):
                prediction, hidden = self._adjoint.forward(call)
            prediction = self._guide(prediction, variants)
            predictions.append(prediction[:count])
            if plan.keeps_hidden_states:
                hidden_states.append([x[: len(x) // variants].clone() for x in hidden])
            latents = schedule.step(prediction, at, latents)
            self._check()
        images = torch.cat([self._decode(x[None]) for x in latents])
        joint = images[count:].reshape(variants - 1, count, *images.shape[1:])
        return _Forward(
            batch, layout, predictions, hidden_states, latents[:count], images[:count], joint
        )

    @property
    def _guided(self) -> bool:
        return self._renderer.settings.guidance_scale > 1

    def _guide(self, prediction: Tensor, variants: int) -> Tensor:
        """The guided predictions of rows that hold several variants of a batch."""
        if not self._guided:
            return prediction
        scale = self._renderer.settings.guidance_scale
        return torch.cat([guide(part, scale) for part in prediction.chunk(variants)])

    def _decode(self, latents: Tensor) -> Tensor:
        for part in self._decoder:
            latents = part(latents)
        return latents

    def _carry(
        self, forward: _Forward, draws: range, first_call: int, plan: PassPlanned
    ) -> tuple[Tensor, Tensor]:
        """Effects (calls, n, draws, layers, types), and the functionals' gradients (n, draws, ...).

        Args:
            forward: The undisturbed trajectories.
            draws: Numbers of the draws.
            first_call: How far they go back.
            plan: How the memory is used.
        """
        samples, layout = forward.batch.samples, forward.layout
        device, count = forward.images.device, len(draws)
        gradients = torch.stack(
            [
                functional_gradients(
                    image, [draw_generator(s.prompt, s.seed, k, device) for k in draws]
                )
                for image, s in zip(forward.images, samples, strict=True)
            ]
        )
        cotangent = self._through_decoder(forward, gradients, plan)
        schedule = self._schedule(forward.batch, count)
        graph = SamplerGraph(
            schedule,
            forward.batch.noise.to(forward.latents.dtype).repeat(count, 1, 1, 1),
            [x.repeat(count, 1, 1, 1) for x in forward.predictions],
        )
        shape = (len(schedule), len(samples), count, len(self._layers), len(self._able))
        effects = torch.full(shape, torch.nan, device=device)
        effects[:first_call] = 0
        copies = _divisor(count, plan.copies)

        def pull_call(at: int, of_prediction: Tensor) -> Tensor:
            inputs = graph.inputs(at)[: len(samples)]
            call = self._call(forward.batch, schedule.timesteps[at], inputs, 1)
            kept = forward.hidden_states
            hidden = kept[at] if kept else self._adjoint.forward(call)[1]
            by_draw = of_prediction.reshape(count, len(samples), *of_prediction.shape[1:])
            found = Pass(layout, copies, effects[at])
            pulled = self._adjoint.pull(call, hidden, self._of_halves(by_draw), found)
            self._check()
            latents = pulled.shape[2:]
            halves = pulled.reshape(count, layout.guidance, len(samples), *latents)
            return halves.sum(1).reshape(-1, *latents)

        graph.pull(cotangent, pull_call, first_call)
        return effects, gradients

    def _through_decoder(self, forward: _Forward, gradients: Tensor, plan: PassPlanned) -> Tensor:
        """Cotangents of the final latents, (draws * n, channels, h, w), from those of images."""
        parts = chained(self._decoder) if plan.decoder_at_once else self._decoder
        pulled = [
            pull_through(parts, forward.latents[i : i + 1], gradients[i][:, None])
            for i in range(len(gradients))
        ]
        return torch.cat(pulled, 1).flatten(0, 1)

    def _of_halves(self, of_guided: Tensor) -> Tensor:
        """Cotangents of the transformer's prediction from those of the guided one."""
        scale = self._renderer.settings.guidance_scale
        if not self._guided:
            return of_guided
        return torch.cat([(1 - scale) * of_guided, scale * of_guided], 1)

    def _schedule(self, batch: Batch, copies: int) -> Schedule:
        settings, shape = self._renderer.settings, batch.noise.shape
        return Schedule(
            self._renderer.pipeline,
            settings.num_inference_steps,
            settings.timesteps,
            seeds=[sample.seed for sample in batch.samples] * copies,
            shape=(shape[0] * copies, *shape[1:]),
            device=batch.noise.device,
        )

    def _call(self, batch: Batch, timestep: Tensor, inputs: Tensor, variants: int) -> Call:
        """The arguments of a call for several variants of a batch, one behind another."""
        settings = self._renderer.settings
        embeds, mask = batch.conditioning.batch(self._guided)
        micro = micro_conditions(
            self._renderer.transformer, embeds, settings.height, settings.width
        )
        one = Call(inputs, timestep[None].expand(len(embeds)), embeds, mask, micro)
        if variants > 1:
            one = one.repeated(variants)
        halves = 2 if self._guided else 1
        rows = torch.cat([x.repeat(halves, 1, 1, 1) for x in inputs.chunk(variants)])
        return replace(one, latents=rows)


def late_start(effects: Tensor) -> int:
    """The first call that short draws need to reach; 0 where they would not be short.

    Args:
        effects: (calls, draws, layers, types), of draws that went back through every call.
    """
    squares = effects.double().square().mean(1)
    shares = (squares / squares.sum(0)).nanmean((1, 2)).nan_to_num()
    calls = len(shares)
    early = torch.cumsum(shares, 0)
    start = int((early <= _EARLY_SHARE).sum())
    return start if 0 < calls - start <= _SHORT * calls else 0


def _divisor(count: int, limit: int) -> int:
    """The largest divisor of a number that is within a limit."""
    return next(x for x in range(min(count, limit), 0, -1) if count % x == 0)


def _type_effects(effects: Tensor, image: Tensor, joint: Tensor, gradients: Tensor) -> TypeEffects:
    """What is kept of one quant type.

    Args:
        effects: (calls, draws, layers).
        image: The undisturbed image.
        joint: The image with every layer's local error added.
        gradients: Of the draws' functionals, (draws, 3, height, width).
    """
    packed = PackedArray.of(effects.permute(1, 2, 0).float().cpu().numpy().astype(np.float32))
    if not finite_per_sample(joint[None])[0]:
        return TypeEffects(effects=packed, joint_loss=None, joint_functionals=())
    change = (joint - image).flatten()
    return TypeEffects(
        effects=packed,
        joint_loss=1 - ssim_per_image(joint[None], image[None])[0],
        joint_functionals=tuple((gradients.flatten(1) @ change).tolist()),
    )
