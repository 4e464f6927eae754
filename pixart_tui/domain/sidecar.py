"""The sidecars beside an onediffx JSON: what the figures were measured on, and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import ValidationError

from pixart_tui.domain.cost import Cost
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.measurements import Comparison, Measurement
from pixart_tui.domain.probing import Probing, Stability
from pixart_tui.domain.profile import Conditions, LayerScore, LayerStatus, Profile
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.domain.selection import Selection
from pixart_tui.domain.values import Value

SCHEMA_VERSION = 1

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
            memory. Each layer was compared with undisturbed images of its own batch size.
        deployment_floor: Mean 1 - SSIM of the deployment dtype with nothing quantized.
        measurement_noise: Median standard deviation of a layer's SSIM over prompts and seeds.
        layers: Every layer's score, in the model's order, the excluded ones with their reason.
        measurements: Every measurement.
        floor: The deployment floor, per prompt and seed.
        probing: The fast method's teacher-forced errors, per layer, sample and step.
        stability: Whether trajectories fork; None where it was not looked into.
        cost: What the profile took beside what the exhaustive method takes; None in profiles from
            before this was counted.
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
    probing: Probing | None = None
    stability: Stability | None = None
    cost: Cost | None = None

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
            probing=self.probing,
            stability=self.stability,
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
        measured_ssim: SSIM of each chosen layer alone that was measured on images.
        estimated_ssim: The same of those that the fast method only estimated.
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
    estimated_ssim: Mapping[str, float] = {}
    use_with_top_percentage: float | None = 100
    verification: Verification | None = None

    @property
    def ssim_by_fqn(self) -> dict[str, float]:
        """SSIM of each chosen layer alone, measured or estimated, in the selection's order."""
        known = {**self.estimated_ssim, **self.measured_ssim}
        return {fqn: known[fqn] for fqn in self.selection.assignments}


def render(sidecar: Value) -> str:
    """The sidecar's text."""
    return sidecar.model_dump_json(indent=1) + "\n"


def parse(text: str, source: str, schema: type[_Sidecar]) -> _Sidecar:
    """Reads a sidecar.

    Raises:
        RequestError: Not JSON, or not a sidecar of that kind.
    """
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RequestError(
            f"{source} is not a pixart-tui sidecar",
            f"{place}: {first['msg']}",
            "profile again, or copy the .meta.json that was written with the .json",
        ) from error
