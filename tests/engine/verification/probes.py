"""A probe of a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.verification import ImageSet
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.rendering import Settings
from pixart_tui.engine.verification.probe import JointProbe
from pixart_tui.engine.verification.verifying import samples_of


@dataclass
class Probe:
    inner: JointProbe

    def losses(
        self, assignments: Mapping[str, str], images: ImageSet, kept: KeptSteps = NO_STEPS
    ) -> list[float]:
        choice = Choice(assignments=assignments, kept_steps=kept)
        found = self.inner.measure(choice, samples_of(images))
        return [c.loss for c in found if c.loss is not None]


def probe(loaded: LoadedPipeline, images: ImageSet, steps: int) -> Probe:
    defaults = loaded.defaults
    settings = Settings(
        samples=samples_of(images),
        negative_prompt="",
        num_inference_steps=steps,
        guidance_scale=2.0,
        height=defaults.height,
        width=defaults.width,
        max_sequence_length=defaults.max_sequence_length,
    )
    made = JointProbe(
        loaded.pipeline, settings, Execution.SIMULATED, replicas=1, check=lambda: None
    )
    return Probe(made)
