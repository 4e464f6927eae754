"""The sidecars beside an onediffx JSON: what the figures were measured on, and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.domain.values import Value

SCHEMA_VERSION = 1
REMOVED_METHOD = "fast"
PROFILE_AGAIN = "profile again with: pixart-tui profile"


class SampleRecord(Value):
    """The record of one sample of the adjoint method, beside its effects.

    Attributes:
        prompt: The prompt.
        seed: The seed.
        draws: How many functionals were carried back, and of these
        whole_draws: how many through every transformer call; the others through the last ones.
        predicted_loss: Loss of all layers together, by the sum of their effects.
        measured_loss: The same of the image with every layer's local error added, under the same
            functionals; None where it is not finite or is of a coarser quant type.
        joint_loss: 1 - SSIM of that image, of the coarsest quant type; None where it is not finite.
        nonlinear: The part of ``measured_loss`` that the sum of effects does not explain.
        saturation: The loss at which losses level off in this sample; None in the linear range.
        early_share: The part of the loss that all layers make together at the early calls alone
            that counts; 1 in the linear range.
        elapsed_s: Seconds that it took.
    """

    prompt: str
    seed: int
    draws: int
    whole_draws: int
    predicted_loss: float
    measured_loss: float | None
    joint_loss: float | None = None
    nonlinear: float | None
    saturation: float | None = None
    early_share: float = 1.0
    elapsed_s: float


class EffectsFile(Value):
    """The file with all effects of a run, which the sidecars of its quant types share.

    Attributes:
        name: File name, in the sidecar's directory.
        sha256: Of its bytes, hexadecimal.
    """

    name: str
    sha256: str


_Sidecar = TypeVar("_Sidecar", "ProfileSidecar", "SelectionSidecar")


class ProfileSidecar(Value):
    """``<name>.meta.json``: everything that a profile knows.

    Attributes:
        schema_version: Version of this file's format.
        kind: What it stands beside.
        run: The run's id.
        date: Day and time of the end, ISO 8601, UTC.
        conditions: What was measured.
        machine: Where.
        versions: With what.
        elapsed_s: Seconds of work, over all attempts.
        batch_sizes: Images in a batch, in the order of use: more than one where the GPU ran out of
            memory. Each layer was compared with reference images of its own batch size.
        deployment_floor: Mean 1 - SSIM of the deployment dtype with nothing quantized.
        measurement_noise: Median standard deviation of a layer's SSIM over prompts and seeds.
        layers: Every layer's score, in the model's order, the excluded ones with their reason.
        measurements: Every measurement.
        floor: The bf16 floor, per prompt and seed.
        measuring_s: Seconds that the layers' part of the work took, without loading, the floor and
            the layers' times; over all attempts.
        samples: What the adjoint method found of each sample.
        look: Its last decision.
        effects: Where its effects are.
    """

    schema_version: int = SCHEMA_VERSION
    kind: Literal["profile"] = "profile"
    run: str
    date: str
    conditions: Conditions
    machine: Machine
    versions: Versions
    elapsed_s: float
    batch_sizes: tuple[int, ...] = ()
    deployment_floor: float | None
    measurement_noise: float | None
    layers: tuple[LayerScore, ...]
    measurements: tuple[Measurement, ...]
    floor: tuple[Comparison, ...]
    measuring_s: float | None = None
    samples: tuple[SampleRecord, ...] = ()
    look: Look | None = None
    effects: EffectsFile | None = None

    @property
    def profile(self) -> Profile:
        """The profile that the sidecar was written from."""
        return Profile(
            conditions=self.conditions,
            layers=tuple(score.layer for score in self.layers),
            excluded={
                s.layer.fqn: s.reason for s in self.layers if s.status is LayerStatus.EXCLUDED
            },
            measurements=self.measurements,
            floor=self.floor,
            latencies={s.layer.fqn: s.latency_s for s in self.layers if s.latency_s is not None},
            scored=None if self.measurements else self.layers,
        )


class SelectionSidecar(Value):
    """``<name>.selected.meta.json``: how a selection was made.

    Attributes:
        schema_version: Version of this file's format.
        kind: What it stands beside.
        profile: File name of the profile's JSON, the first of several.
        profiles: Those of all of them, one for each quant type.
        conditions: What the first profile was measured on; the others differ in the quant type.
        selection: The rule and its outcome.
        measured_ssim: SSIM of each chosen layer alone.
        use_with_top_percentage: What onediffx must be given to quantize exactly the selection;
            None where the selection has several quant types, which it cannot read.
        verification: The loss of all chosen layers at once, None where it was not measured.
    """

    schema_version: int = SCHEMA_VERSION
    kind: Literal["selection"] = "selection"
    profile: str
    profiles: tuple[str, ...] = ()
    conditions: Conditions
    selection: Selection
    measured_ssim: Mapping[str, float]
    use_with_top_percentage: float | None = 100
    verification: Verification | None = None

    @property
    def ssim_by_fqn(self) -> dict[str, float]:
        """SSIM of each chosen layer alone, in the selection's order."""
        return {fqn: self.measured_ssim[fqn] for fqn in self.selection.assignments}


def render(sidecar: Value) -> str:
    """The sidecar's text."""
    return sidecar.model_dump_json(indent=1) + "\n"


def parse(text: str, source: str, schema: type[_Sidecar]) -> _Sidecar:
    """Reads a sidecar.

    Raises:
        RequestError: Not JSON, or not a sidecar of that kind.
    """
    try:
        found = schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RequestError(
            f"{source} is not a pixart-tui sidecar",
            cause=f"{place}: {first['msg']}",
            next_step="profile again, or copy the .meta.json that was written with the .json",
        ) from error
    if found.schema_version > SCHEMA_VERSION:
        raise RequestError(
            f"{source} is of a newer format, {found.schema_version}",
            cause=f"this version reads up to {SCHEMA_VERSION}",
            next_step="install a newer pixart-tui",
        )
    if found.conditions.method == REMOVED_METHOD:
        raise RequestError(
            f"{source} is of the fast method, which was removed", next_step=PROFILE_AGAIN
        )
    return found
