"""Teacher-forced errors: what a disturbed layer does to single noise predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from pixart_tui.domain.values import Value


class ProbeRow(Value):
    """One call of the transformer that every layer is probed on.

    Attributes:
        prompt: The prompt.
        seed: The seed.
        step: The denoising step, from 0; its input is what the undisturbed trajectory has there.
    """

    prompt: str
    seed: int
    step: Annotated[int, Field(ge=0)]


class Probing(Value):
    """Every teacher-forced error of a profile, and what it is worth in the image.

    Attributes:
        rows: The calls that every layer is probed on.
        anchor: The step that has the largest part in the final latents' change; every sample that
            is probed at all is probed there.
        gains: Of each step: by how much an error of its guided noise prediction (root mean
            square) comes out in the final latents.
        null: Of each row: mean squared difference of the guided prediction with nothing quantized
            and the batch split another way; 0 where that changes no bit.
        errors: Layer to its rows' mean squared error of the guided noise prediction; None where
            it is not finite.
        forwards: Transformer calls that all of this took, in calls for one image.
    """

    rows: tuple[ProbeRow, ...]
    anchor: int
    gains: tuple[float, ...]
    null: tuple[float, ...]
    errors: Mapping[str, tuple[float | None, ...]] = {}
    forwards: float = 0.0

    @property
    def samples(self) -> tuple[tuple[str, int], ...]:
        """Prompt and seed of every sample that is probed, in order."""
        return tuple((r.prompt, r.seed) for r in self.rows if r.step == self.anchor)


class Stability(Value):
    """Whether the images of a setting can be compared with their undisturbed twins at all.

    An error of one noise prediction is carried to the final latents by the scheduler, and the
    model's later predictions answer to it. Where they correct it, the expansion is below 1.

    Attributes:
        forks: Whether trajectories fork: a small disturbance grows into another image.
        expansion: By how much more an error comes out than the scheduler alone carries, at the
            worst step; median over the trajectories that were followed.
        worst_expansion: The same of the worst trajectory.
        guidance_scale: What it holds for.
        stable_guidance_scale: The largest guidance tried that does not fork; None where none was
            searched or found.
    """

    forks: bool
    expansion: float
    worst_expansion: float
    guidance_scale: float
    stable_guidance_scale: float | None = None


Method = Literal["fast", "exhaustive"]
