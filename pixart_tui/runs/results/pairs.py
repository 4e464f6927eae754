"""The pictures of a run in pairs: what was quantized, and the same prompt and seed without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixart_tui.domain.events import ArtifactWritten
from pixart_tui.domain.events.roles import COMPARED, Role
from pixart_tui.reporting.score_text import every_layer_label, figures_text
from pixart_tui.runs.snapshot import RunSnapshot


@dataclass(frozen=True, slots=True)
class Pair:
    """An image with something quantized, and its reference.

    Attributes:
        label: The layer, the benchmark's row, or the quant type of every layer; empty where there
            is only one thing quantized.
        prompt: What both show.
        seed: Of both noises.
        image: The file with something quantized.
        reference: The file without.
        ssim: Structural similarity, None where it is not known.
        psnr_db: In dB, None for equal images and where it is not known.
        mae: Mean absolute error, None where it is not known.
        every_layer: Whether every layer is quantized, and the label is to what.
    """

    label: str
    prompt: str
    seed: int
    image: Path
    reference: Path
    ssim: float | None = None
    psnr_db: float | None = None
    mae: float | None = None
    every_layer: bool = False

    @property
    def words(self) -> str:
        """Names the quantized part: a layer, a benchmark's row, or every layer to a quant type."""
        return every_layer_label(self.label) if self.every_layer else self.label

    @property
    def key(self) -> tuple[str, str, int]:
        """Returns a key that stays the same while a run goes on."""
        return (self.label, self.prompt, self.seed)

    @property
    def figures(self) -> str:
        """``SSIM 0.998765  PSNR 45.12 dB  MAE 0.00123``."""
        return figures_text(self.ssim, self.psnr_db, self.mae)


def pairs_of(snapshot: RunSnapshot, directory: Path) -> tuple[Pair, ...]:
    """Every pair of a run: layers with the most sensitive first, others in the order of making.

    Args:
        snapshot: What its journal says.
        directory: The run's directory.
    """
    kept = {artifact.path: artifact for artifact in snapshot.artifacts}.values()
    reference = {(a.prompt, a.seed): a.path for a in kept if a.role == Role.BASELINE_IMAGE}
    pairs = [
        _pair(snapshot, artifact, directory, reference[artifact.prompt, artifact.seed])
        for artifact in kept
        if artifact.role in COMPARED and (artifact.prompt, artifact.seed) in reference
    ]
    if snapshot.profiling.planned is not None:
        pairs.sort(key=lambda pair: 2.0 if pair.ssim is None else pair.ssim)
    return tuple(pairs)


def _pair(
    snapshot: RunSnapshot, artifact: ArtifactWritten, directory: Path, reference: str
) -> Pair:
    ssim, psnr_db, mae = _figures(snapshot, artifact)
    return Pair(
        label=artifact.label or "",
        prompt=artifact.prompt or "",
        seed=artifact.seed or 0,
        image=directory / artifact.path,
        reference=directory / reference,
        ssim=ssim,
        psnr_db=psnr_db,
        mae=mae,
        every_layer=artifact.role == Role.JOINT_IMAGE,
    )


def _figures(
    snapshot: RunSnapshot, artifact: ArtifactWritten
) -> tuple[float | None, float | None, float | None]:
    """SSIM, PSNR and MAE, from wherever the run keeps them."""
    sample = (artifact.prompt or "", artifact.seed or 0)
    if artifact.role == Role.QUANTIZED_IMAGE:
        compared = snapshot.comparison.pairs.get(sample)
        known = compared.similarity if compared else None
        return (known.ssim, known.psnr_db, known.mae) if known else (None, None, None)
    if artifact.role == Role.BENCH_IMAGE:
        row = snapshot.benchmark.rows.get(artifact.label or "")
        return (row.figures.ssim, row.figures.psnr_db, None) if row else (None, None, None)
    if artifact.role == Role.LAYER_IMAGE:
        measured = snapshot.profiling.measured.get(artifact.label or "")
        for found in measured.measurements if measured else ():
            if (found.prompt, found.seed) == sample:
                return (found.ssim, found.psnr_db, None)
    if artifact.role == Role.JOINT_IMAGE:
        effects = snapshot.profiling.samples.get(sample)
        loss = effects.check.loss if effects else None
        return (None if loss is None else 1 - loss, None, None)
    beside = artifact.comparison
    return (beside.ssim, beside.psnr_db, None) if beside else (None, None, None)
