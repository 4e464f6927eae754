"""Profiles as large as PixArt-alpha's: plausible, deterministic, measured by nobody."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    Event,
    FloorMeasured,
    LatencyMeasured,
    LayerMeasured,
    ProfilePlanned,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.effects import Method
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.run import Run
from pixart_tui.runs.snapshot import RunSnapshot
from tests.tui import adjoint_runs, sample_runs
from tests.tui.sample_runs import PROMPTS, QUANT_TYPE

BLOCKS: Final = 28
BROKEN: Final = "transformer_blocks.3.ff.net.2"
STEPS: Final = 20

_WIDTH, _TOKENS, _TEXT = 1152, 8192, 240
_OUTSIDE = {
    "proj_out": (_WIDTH, 32, _TOKENS),
    "adaln_single.emb.timestep_embedder.linear_1": (256, _WIDTH, 2),
    "adaln_single.emb.timestep_embedder.linear_2": (_WIDTH, _WIDTH, 2),
    "adaln_single.emb.resolution_embedder.linear_1": (256, 384, 4),
    "adaln_single.emb.resolution_embedder.linear_2": (384, 384, 4),
    "adaln_single.emb.aspect_ratio_embedder.linear_1": (256, 384, 2),
    "adaln_single.emb.aspect_ratio_embedder.linear_2": (384, 384, 2),
    "adaln_single.linear": (_WIDTH, 6 * _WIDTH, 2),
    "caption_projection.linear_1": (4096, _WIDTH, _TEXT),
    "caption_projection.linear_2": (_WIDTH, _WIDTH, _TEXT),
}
EXCLUDED = {
    name: f"torch._int_mm needs more than 16 rows: M = {rows}"
    for name, (_, _, rows) in _OUTSIDE.items()
    if name.startswith("adaln_single")
}


def layers() -> tuple[Layer, ...]:
    """The 290 layers of ``synthetic:alpha`` at 1024 x 1024; a test compares them."""
    return sample_runs.layers_of(BLOCKS, _WIDTH, _TOKENS, _TEXT, _OUTSIDE)


def _measurable() -> list[Layer]:
    return [layer for layer in layers() if layer.fqn not in EXCLUDED]


def _planned() -> Iterator[Event]:
    conditions = sample_runs.conditions().replace(model="synthetic:alpha")
    yield AttemptStarted(attempt=1)
    yield ProfilePlanned(
        machine=sample_runs.MACHINE,
        versions={"torch": "2.13.0"},
        conditions=conditions,
        layers=layers(),
        excluded=EXCLUDED,
    )
    yield LatencyMeasured(quant_type=QUANT_TYPE, latencies=latencies())
    comparisons = [Comparison(prompt=p, seed=0, ssim=0.999, psnr_db=47.0) for p in PROMPTS]
    yield FloorMeasured(dtype="bfloat16", comparisons=tuple(comparisons))


def latencies() -> dict[str, Latency]:
    """Times by size: large layers gain, those of the text do not."""
    found = {}
    for layer in layers():
        unquantized = 4e-6 + layer.flops / 600e12
        quantized = None if layer.fqn in EXCLUDED else 6e-6 + layer.flops / 1000e12
        reason = EXCLUDED.get(layer.fqn, "")
        found[layer.fqn] = Latency(
            unquantized=unquantized, quantized=quantized, noise=2e-7, reason=reason
        )
    return found


def _loss(layer: Layer, rng: random.Random) -> float:
    """Feed-forward layers and the middle blocks are the more sensitive ones."""
    block = layer.block if layer.block is not None else 0
    middle = 1.2 - abs(block - BLOCKS / 2) / BLOCKS
    heavy = 1.0 if layer.kind.startswith("ff") else 0.0
    return math.exp(math.log(10) * (-5.5 + 1.4 * middle + heavy + rng.gauss(0, 0.35)))


def _measured(layer: Layer, rng: random.Random) -> LayerMeasured:
    loss = _loss(layer, rng)
    broken = layer.fqn == BROKEN
    measurements = tuple(
        Measurement(
            layer=layer.fqn,
            quant_type=QUANT_TYPE,
            prompt=prompt,
            seed=0,
            finite=not broken,
            ssim=None if broken else 1 - loss * rng.uniform(0.6, 1.4),
            psnr_db=None if broken else 40 + 4 / loss**0.1,
            latent_mse=None if broken else loss / 10,
        )
        for prompt in PROMPTS
    )
    return LayerMeasured(layer=layer.fqn, measurements=measurements, elapsed_s=1.5)


def exhaustive_events(measured: int) -> Iterator[Event]:
    """A profile of whole images up to its ``measured``-th layer."""
    rng = random.Random(4)
    yield from _planned()
    todo = _measurable()
    for done, layer in enumerate(todo[: measured + 1]):
        detail = f'{layer.fqn}  "{PROMPTS[0]}" and 3 more'
        yield StageChanged(stage=Stage.MEASURING, detail=detail, done=done, total=len(todo))
        if done < measured:
            yield _measured(layer, rng)


def adjoint_plan(*quant_types: str) -> adjoint_runs.Plan:
    """The same model, measured by the adjoint method under one quant type or several."""
    rng = random.Random(5)
    known = {layer.fqn: _loss(layer, rng) for layer in _measurable() if layer.fqn != BROKEN}
    losses = [known.get(layer.fqn) for layer in layers()]
    types = quant_types or (QUANT_TYPE,)
    return adjoint_runs.Plan(
        layers=layers(),
        losses=dict.fromkeys(types, losses),
        excluded=dict.fromkeys(types, EXCLUDED),
        model="synthetic:alpha",
        seeds=2,
    )


def adjoint_events(samples: int = 8) -> Iterator[Event]:
    """A profile of the adjoint method up to its last sample, with times."""
    for event in adjoint_runs.events(adjoint_plan(), samples, ended=True):
        yield event
        if isinstance(event, ProfilePlanned):
            yield LatencyMeasured(quant_type=QUANT_TYPE, latencies=latencies())


def half_measured(output: Path) -> Run:
    """A running profile whose half is measured."""
    events = list(exhaustive_events(141))
    request = _request(output, "exhaustive")
    worker = sample_runs.this_process()
    return sample_runs.write_run(request, sample_runs.PROFILE_ID, events, step_s=0.2, worker=worker)


def _request(output: Path, method: Method) -> ProfileRequest:
    return sample_runs.profile_request(output).replace(model="synthetic:alpha", method=method)


def finished(output: Path, events: Sequence[Event], method: Method = "exhaustive") -> Run:
    """A profile that has ended."""
    request = _request(output, method)
    ended = [
        *events,
        ArtifactWritten(role="profile", path=request.output),
        AttemptFinished(state="done"),
    ]
    return sample_runs.write_run(request, sample_runs.PROFILE_ID, ended, step_s=0.2)


def profile(events: Sequence[Event]) -> Profile:
    """The profile that events tell of."""
    snapshot = RunSnapshot()
    for number, event in enumerate(events):
        snapshot.apply(JournalEntry(t=float(number), event=event))
    assert snapshot.profiling.profile is not None
    return snapshot.profiling.profile
