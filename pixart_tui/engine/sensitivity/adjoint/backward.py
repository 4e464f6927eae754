"""The effects of every layer on a few samples: one trajectory forward, several draws back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.events import PassPlanned
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, QuantType, coarsest
from pixart_tui.domain.profiles.effects import LinearCheck, PackedArray, SampleEffects, early_calls
from pixart_tui.engine.image_metrics import finite_per_sample, ssim_per_image
from pixart_tui.engine.precision import cpu_bfloat16, tensor_float32
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import guide, micro_conditions
from pixart_tui.engine.schedule import Schedule, call_count
from pixart_tui.engine.sensitivity.adjoint.functional import draw_generator, functional_gradients
from pixart_tui.engine.sensitivity.adjoint.parts import Call, decoder_parts
from pixart_tui.engine.sensitivity.adjoint.passes import Pass
from pixart_tui.engine.sensitivity.adjoint.pulling import (
    Trace,
    TransformerAdjoint,
    chained,
    pull_through,
)
from pixart_tui.engine.sensitivity.adjoint.sampler import SamplerGraph
from pixart_tui.engine.sensitivity.adjoint.taps import Taps
from pixart_tui.engine.sensitivity.rendering import Batch, Renderer, Sample

_WHOLE_DRAWS: Final = 2
"""Draws that go back through every call, whatever the effects are there."""
_QUIET: Final = 0.003
"""Part of the effects, in squares, up to which a call is quiet; the other draws end behind two
quiet calls."""


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The result of a sample's passes.

    Attributes:
        effects: Its effects.
        image: The reference image, (3, height, width), on the CPU.
        joint: The image with every layer's local error added, on the CPU.
    """

    effects: SampleEffects
    image: Tensor
    joint: Tensor


@dataclass(frozen=True, slots=True)
class _Forward:
    """The reference trajectories of a batch.

    Attributes:
        batch: Samples, conditioning and noise.
        layout: How images lie among the rows of a transformer call.
        predictions: Of each call, the guided prediction.
        traces: Of each call, what was kept of it.
        latents: The final ones.
        images: (n, 3, height, width).
        joint: With every layer's local error added, shaped like ``images``.
        early: With those of the early calls alone.
    """

    batch: Batch
    layout: BatchLayout
    predictions: list[Tensor]
    traces: list[Trace]
    latents: Tensor
    images: Tensor
    joint: Tensor
    early: Tensor


class Backward:
    """Measures the effects of a transformer's layers, and of its self-attention.

    Args:
        renderer: Makes reference images; its transformer is tapped from here on.
        layers: Every layer, in the order of the effects.
        able: Quant type to the layers that can have it.
        execution: The reference numerics or the real kernel.
        draws: Functionals of each sample.
        check: Called after each transformer call; may raise to give up.
        attention: Attention modules, in the order of their effects, and whether each can run in
            fp8; none where fp8 attention is not measured.
    """

    def __init__(
        self,
        renderer: Renderer,
        layers: Sequence[str],
        able: Mapping[QuantType, Sequence[str]],
        *,
        execution: Execution,
        draws: int,
        check: Callable[[], None],
        attention: Mapping[str, bool] = MappingProxyType({}),
    ) -> None:
        self._renderer, self._able = renderer, able
        self._layers, self._targets = len(layers), len(layers) + len(attention)
        self._execution, self._draws, self._check = execution, draws, check
        transformer, pipeline = renderer.transformer, renderer.pipeline
        transformer.requires_grad_(False)
        pipeline.vae.requires_grad_(False)
        types = tuple(able)
        self._coarsest = coarsest(types)
        by_layer = {x: [kind for kind in types if x in able[kind]] for x in layers}
        tapped = {x: len(layers) + at for at, x in enumerate(attention) if attention[x]}
        self._taps = Taps(transformer, by_layer, types, execution, tapped)
        self._adjoint = TransformerAdjoint(transformer, self._taps)
        self._decoder = decoder_parts(pipeline.vae)

    def measure(self, samples: tuple[Sample, ...], plan: PassPlanned) -> list[SampleResult]:
        """The effects of each sample.

        Args:
            samples: As many as the plan says, or fewer.
            plan: How the memory is used.
        """
        start_s = time.perf_counter()
        self._taps.keep_weights(plan.keeps_weights)
        batch = self._renderer.prepare(samples)
        effects = self._no_effects(batch)
        forward = self._forward(batch, effects, plan)
        with tensor_float32():
            gradients = self._gradients(forward)
            first_calls = self._carry(forward, gradients, effects, plan)
        elapsed_s = (time.perf_counter() - start_s) / len(samples)
        return [
            SampleResult(
                SampleEffects(
                    prompt=sample.prompt,
                    seed=sample.seed,
                    first_calls=tuple(first_calls[i]),
                    effects=self._packed(effects[:, i]),
                    check=self._check_of(forward, i, gradients[i]),
                    elapsed_s=elapsed_s,
                ),
                forward.images[i].cpu(),
                forward.joint[i].cpu(),
            )
            for i, sample in enumerate(samples)
        ]

    def _no_effects(self, batch: Batch) -> Tensor:
        """(calls, n, draws, targets, types), of NaN: see ``Pass``."""
        settings, draws = self._renderer.settings, self._draws
        calls = call_count(
            self._renderer.pipeline, settings.num_inference_steps, settings.timesteps
        )
        types = len(self._able) + (self._targets > self._layers)
        shape = (calls, len(batch.samples), draws, self._targets, types)
        return torch.full(shape, torch.nan, device=batch.noise.device)

    def _packed(self, effects: Tensor) -> dict[str, PackedArray]:
        """One sample's effects, (calls, draws, targets, types), by quant type."""
        arrays = effects.permute(3, 1, 2, 0).float().cpu().numpy()
        found = {
            kind.name: PackedArray.of(x[:, : self._layers])
            for kind, x in zip(self._able, arrays, strict=False)
        }
        if self._targets > self._layers:
            found[FP8_ATTENTION] = PackedArray.of(arrays[-1][:, self._layers :])
        return found

    @torch.no_grad()
    def _forward(self, batch: Batch, effects: Tensor, plan: PassPlanned) -> _Forward:
        """The reference trajectories, and beside them those with local errors added.

        With every call's errors and, in a third row, with those of the early calls alone.
        """
        count = len(batch.samples)
        layout = BatchLayout(2 if self._guided else 1, count)
        schedule = self._schedule(batch, 3)
        dtype = batch.conditioning.prompt_embeds.dtype
        latents = batch.noise.to(dtype).repeat(3, 1, 1, 1) * schedule.init_noise_sigma
        predictions, traces = [], []
        for at in range(len(schedule)):
            inputs, joint, early = schedule.inputs(latents, at).chunk(3)
            call = self._call(batch, schedule.timesteps[at], inputs)
            trace = self._adjoint.forward(
                call,
                self._rows(joint),
                (self._coarsest, layout),
                keep=Pass(layout, effects[at]) if plan.keeps_graphs else None,
                keep_hidden_states=plan.keeps_hidden_states,
            )
            predicted = [self._guide(x) for x in (trace.prediction, trace.joint)]
            if at < early_calls(len(schedule)):
                predicted.append(predicted[1])
            else:
                predicted.append(self._guide(self._adjoint.predict(call, self._rows(early))))
            predictions.append(predicted[0])
            traces.append(trace)
            latents = schedule.step(torch.cat(predicted), at, latents)
            self._check()
        images = torch.cat([self._decode(x[None]) for x in latents]).chunk(3)
        return _Forward(batch, layout, predictions, traces, latents[:count], *images)

    @property
    def _guided(self) -> bool:
        return self._renderer.settings.guidance_scale > 1

    def _guide(self, prediction: Tensor) -> Tensor:
        """The guided prediction from the transformer's, both halves of the guidance."""
        scale = self._renderer.settings.guidance_scale
        return guide(prediction, scale) if self._guided else prediction

    def _decode(self, latents: Tensor) -> Tensor:
        for part in self._decoder:
            latents = part(latents)
        return latents

    def _gradients(self, forward: _Forward) -> Tensor:
        """Of each image's functionals, (n, draws, 3, height, width)."""
        device = forward.images.device
        return torch.stack(
            [
                functional_gradients(
                    image,
                    [draw_generator(x.prompt, x.seed, k, device) for k in range(self._draws)],
                )
                for image, x in zip(forward.images, forward.batch.samples, strict=True)
            ]
        )

    def _carry(
        self, forward: _Forward, gradients: Tensor, effects: Tensor, plan: PassPlanned
    ) -> list[list[int]]:
        """Fills the effects; gives each sample's and draw's first call."""
        count, layout, draws = len(gradients), forward.layout, self._draws
        schedule = self._schedule(forward.batch, draws)
        graph = SamplerGraph(
            schedule,
            forward.batch.noise.to(forward.latents.dtype).repeat(draws, 1, 1, 1),
            [x.repeat(draws, 1, 1, 1) for x in forward.predictions],
        )
        reach = _Reach(count, draws)

        def pull_call(at: int, of_prediction: Tensor) -> Tensor:
            active = reach.active
            call = self._call(forward.batch, schedule.timesteps[at], graph.inputs(at)[:count])
            by_draw = of_prediction.reshape(draws, count, *of_prediction.shape[1:])[:active]
            trace = forward.traces[at]
            found = trace.found or Pass(layout, effects[at])
            pulled = self._adjoint.pull(call, trace, self._of_halves(by_draw), found, plan.draws)
            effects[at, :, active:] = 0
            reach.see(at, effects[at:])
            self._check()
            halves = pulled.reshape(active, layout.guidance, count, *pulled.shape[2:])
            of_latents = halves.new_zeros(draws, count, *pulled.shape[2:])
            of_latents[:active] = halves.sum(1)
            return of_latents.flatten(0, 1)

        graph.pull(self._through_decoder(forward, gradients, plan), pull_call)
        for i, first in enumerate(reach.first_calls):
            effects[:first, i, _WHOLE_DRAWS:] = 0
        return reach.by_draw

    def _check_of(self, forward: _Forward, at: int, gradients: Tensor) -> LinearCheck:
        """How an image answers to every local error at once.

        Args:
            forward: The trajectories.
            at: The image's index.
            gradients: Of the draws' functionals, (draws, 3, height, width).
        """
        image, joint = forward.images[at], forward.joint[at]
        loss = _loss(joint, image)
        change = gradients.flatten(1) @ (joint - image).flatten()
        return LinearCheck(
            quant_type=self._coarsest.name,
            loss=loss,
            functionals=() if loss is None else tuple(change.tolist()),
            early_loss=_loss(forward.early[at], image),
        )

    def _through_decoder(self, forward: _Forward, gradients: Tensor, plan: PassPlanned) -> Tensor:
        """Cotangents of the final latents, (draws * n, channels, h, w), from those of images."""
        parts = chained(self._decoder) if plan.decoder_at_once else self._decoder
        with cpu_bfloat16():
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

    def _call(self, batch: Batch, timestep: Tensor, inputs: Tensor) -> Call:
        """The arguments of a call, ``inputs`` being those of the images."""
        settings = self._renderer.settings
        embeds, mask = batch.conditioning.batch(self._guided)
        micro = micro_conditions(
            self._renderer.transformer, embeds, settings.height, settings.width
        )
        rows = self._rows(inputs)
        return Call(rows, timestep[None].expand(len(rows)), embeds, mask, micro)

    def _rows(self, inputs: Tensor) -> Tensor:
        """Each image's latents, for both halves of the guidance."""
        return inputs.repeat(2, 1, 1, 1) if self._guided else inputs


def _loss(image: Tensor, reference: Tensor) -> float | None:
    """1 - SSIM of an image, None where it is not finite."""
    if not finite_per_sample(image[None])[0]:
        return None
    return 1 - ssim_per_image(image[None], reference[None])[0]


class _Reach:
    """How far the draws of a batch go back: all but a few end once the calls are quiet.

    A sample's own effects decide for it, whatever else is in the batch.

    Args:
        count: Samples.
        draws: Draws of each.

    Attributes:
        active: Draws that go on.
        first_calls: Of each sample, the first call that every draw reached.
    """

    def __init__(self, count: int, draws: int) -> None:
        self._draws = draws
        self._quiet = [0] * count
        self.active, self.first_calls = draws, [0] * count

    def see(self, at: int, effects: Tensor) -> None:
        """Takes in the effects of the calls from ``at`` on, (calls, n, draws, targets, types)."""
        if self.active <= _WHOLE_DRAWS:
            return
        squares = effects.double().square().mean(2)
        shares = (squares[0] / squares.sum(0)).nanmean((1, 2)).nan_to_num()
        for i, share in enumerate(shares.tolist()):
            self._quiet[i] = self._quiet[i] + 1 if share <= _QUIET else 0
            if self._quiet[i] == 2 and not self.first_calls[i]:
                self.first_calls[i] = at
        if all(self.first_calls):
            self.active = _WHOLE_DRAWS

    @property
    def by_draw(self) -> list[list[int]]:
        """Of each sample, the first call of each draw."""
        whole = min(_WHOLE_DRAWS, self._draws)
        return [[0] * whole + [first] * (self._draws - whole) for first in self.first_calls]
