"""A profile: every measurement of a model's layers, and the scores that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import ExecutionName
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.timesteps import Timesteps
from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

from pixart_tui.domain.profiles.score import LayerScore, noise_of


class Conditions(Value):
    """The conditions of a profile; profiles with equal conditions are comparable.

    Attributes:
        model: The model as it was asked for.
        variant: Which of its weight files were asked for; empty for those without a name.
        lora: The LoRA that was merged into its transformer, None for none.
        family: Which PixArt it is.
        model_fingerprint: Hash over configurations and weights, and the LoRA.
        quant_type: The quant type of every measurement.
        execution: ``simulated`` (reference numerics) or ``real`` (the kernel that deployment runs).
        method: How the layers were measured.
        draws: Random functionals of each sample's image; 0 with the exhaustive method.
        prompts: The prompts, in order.
        negative_prompt: What guidance steered away from.
        seeds: One image per prompt and seed.
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance.
        height: Pixels.
        width: Pixels.
        baseline_dtype: The dtype of the reference images.
        floor_dtype: The dtype of deployment, whose own error is the bf16 floor; None where
            the baseline has that dtype itself, so that there is no floor to measure.
        timesteps: Timesteps in place of a number of steps; empty for none.
        num_calls: Transformer calls of an image where they are not as many as its steps, else 0.
    """

    model: str
    variant: str = ""
    lora: Lora | None = None
    family: Literal["alpha", "sigma"]
    model_fingerprint: str
    quant_type: str
    execution: ExecutionName
    method: str
    draws: int = 0
    prompts: tuple[str, ...]
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    baseline_dtype: str
    floor_dtype: str | None
    timesteps: Timesteps = ()
    num_calls: int = 0

    @property
    def calls(self) -> int:
        """Transformer calls of an image; some schedulers make more than one a step."""
        return self.num_calls or self.num_inference_steps

    @property
    def call_name(self) -> str:
        """Names a transformer call: ``step`` where each step makes one, else ``call``."""
        return "call" if self.num_calls else "step"

    @property
    def samples(self) -> int:
        """Prompts times seeds."""
        return len(self.prompts) * len(self.seeds)


class Profile(Value):
    """All measurements of a model and what they were measured on.

    Attributes:
        conditions: What it was measured on.
        layers: Every linear layer, in the model's order.
        excluded: Layers that the real kernels cannot quantize, with the reason.
        measurements: The measurements, one per key.
        floor: The deployment dtype with nothing quantized, against the same baseline.
        latencies: Layer to measured time; empty where the quant type was not timed.
        effects: What the adjoint method measured, sample by sample.
        scored: The scores as a sidecar keeps them, whose effects lie in a file of their own; None
            where they are worked out.
    """

    conditions: Conditions
    layers: tuple[Layer, ...]
    excluded: Mapping[str, str]
    measurements: tuple[Measurement, ...]
    floor: tuple[Comparison, ...] = ()
    latencies: Mapping[str, Latency] = {}
    effects: tuple[SampleEffects, ...] = ()
    scored: tuple[LayerScore, ...] | None = None

    def effect_statistics(self) -> EffectStatistics | None:
        """Returns the statistics of the effects, None without any. Many samples take a while."""
        if not self.effects:
            return None
        # Only now: it needs numpy, which takes a viewer longer to load than its first paint.
        from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

        return EffectStatistics.of(self.effects, self.conditions.quant_type)

    def scores(self, found: EffectStatistics | None = None) -> tuple[LayerScore, ...]:
        """Every layer's score, in the model's order.

        Args:
            found: What the effects say, where that is worked out already.
        """
        if self.scored is not None:
            return self.scored
        # Only now, as above.
        from pixart_tui.domain.profiles.scoring import score_effects, score_layers

        found = found or self.effect_statistics()
        if found is not None:
            scores = score_effects(self.layers, self.excluded, found)
        else:
            scores = score_layers(self.layers, self.excluded, self.measurements)
        timed = ((score, self.latencies.get(score.layer.fqn)) for score in scores)
        return tuple(x.replace(latency_s=latency) for x, latency in timed)

    @property
    def deployment_floor(self) -> float | None:
        """Mean 1 - SSIM of the deployment dtype with nothing quantized."""
        from pixart_tui.domain.profiles.scoring import mean

        return mean([sample.loss for sample in self.floor])

    @property
    def measurement_noise(self) -> float | None:
        """Median over the layers of the standard deviation of SSIM over prompts and seeds."""
        return noise_of(self.scores())


def merge_measurements(batches: Iterable[Iterable[Measurement]]) -> tuple[Measurement, ...]:
    """All measurements of several batches, the first of each key; idempotent."""
    merged: dict[tuple[str, str, str, int], Measurement] = {}
    for batch in batches:
        for measurement in batch:
            merged.setdefault(measurement.key, measurement)
    return tuple(merged.values())
