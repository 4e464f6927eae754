"""The pictures that a run keeps: into files, and named by its journal once each.

A picture is kept before the event of what was measured on it, so that killing the worker anywhere
loses none: what is measured again is kept again, under the same name.
"""

from __future__ import annotations

from PIL import Image

from pixart_tui.domain.events import ArtifactWritten
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.profiles.image_metrics import Pixels
from pixart_tui.engine.pixels import ImagePair, LayerImage
from pixart_tui.engine.sensitivity.rendering import Sample
from pixart_tui.runs.results.pictures import LAYER_SIDE, PICTURE_SIDE, keep_picture
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Emit


class ProfilePictures:
    """Baselines and layers of a profile, all small, as there are hundreds.

    Args:
        run: The run; its plan is known.
        emit: Takes each event.
    """

    def __init__(self, run: Run, emit: Emit) -> None:
        self._run, self._emit = run, emit

    def keep_baseline(self, prompt: str, seed: int, pixels: Pixels) -> None:
        """Keeps an reference image."""
        artifact = ArtifactWritten(
            role=Role.BASELINE_IMAGE,
            path=f"artifacts/baseline-{self._number(prompt, seed)}.webp",
            prompt=prompt,
            seed=seed,
        )
        keep(self._run, self._emit, artifact, pixels, LAYER_SIDE)

    def keep_layer(self, made: LayerImage) -> None:
        """Keeps an image with one layer quantized, and the reference one beside it."""
        self.keep_baseline(made.prompt, made.seed, made.reference)
        artifact = ArtifactWritten(
            role=Role.LAYER_IMAGE,
            path=f"artifacts/layer-{made.layer}-{self._number(made.prompt, made.seed)}.webp",
            prompt=made.prompt,
            seed=made.seed,
            label=made.layer,
        )
        keep(self._run, self._emit, artifact, made.image, LAYER_SIDE)

    def keep_joint(self, sample: Sample, quant_type: str, pixels: Pixels) -> None:
        """Keeps an image with every layer quantized."""
        number = self._number(sample.prompt, sample.seed)
        artifact = ArtifactWritten(
            role=Role.JOINT_IMAGE,
            path=f"artifacts/joint-{quant_type}-{number}.webp",
            prompt=sample.prompt,
            seed=sample.seed,
            label=quant_type,
        )
        keep(self._run, self._emit, artifact, pixels, LAYER_SIDE)

    def _number(self, prompt: str, seed: int) -> str:
        """The same for each attempt."""
        assert self._run.snapshot.profiling.planned is not None
        conditions = self._run.snapshot.profiling.planned.conditions
        return f"{conditions.prompts.index(prompt):03d}-{conditions.seeds.index(seed):03d}"


class PairPictures:
    """Images with a selection quantized and their reference.

    Args:
        run: The run.
        emit: Takes each event.
        role: What the images are.
        side: Pixels of the longer side, at most.
    """

    def __init__(self, run: Run, emit: Emit, role: Role, side: int = PICTURE_SIDE) -> None:
        self._run, self._emit, self._role, self._side = run, emit, role, side

    def keep_pair(self, number: int, pair: ImagePair) -> str:
        """Keeps a pair, whose number is the same in each attempt; returns why it could not."""
        comparison = pair.comparison
        told = ((Role.BASELINE_IMAGE, pair.reference, None), (self._role, pair.image, comparison))
        reason = ""
        for role, pixels, known in told:
            artifact = ArtifactWritten(
                role=role,
                path=f"artifacts/{role.removesuffix('_image')}-{number:03d}.webp",
                prompt=comparison.prompt,
                seed=comparison.seed,
                comparison=known,
            )
            reason = keep(self._run, self._emit, artifact, pixels, self._side) or reason
        return reason


def keep(run: Run, emit: Emit, artifact: ArtifactWritten, pixels: Pixels, side: int) -> str:
    """Keeps an image under the artifact's path; where it cannot, the log says so.

    Args:
        run: The run.
        emit: Takes each event.
        artifact: What the image is; its path is relative to the run's directory.
        pixels: (height, width, 3).
        side: Pixels of the longer side, at most.

    Returns:
        Why it could not; empty if it is kept.
    """
    path = run.paths.directory / artifact.path
    named = any(known.path == artifact.path for known in run.snapshot.artifacts)
    if named and path.exists():
        return ""
    reason = keep_picture(path, Image.fromarray(pixels), side)
    if not reason and not named:
        emit(artifact)
    return reason
