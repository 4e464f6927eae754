"""Batches that do not fit: a hook in the transformer raises what a full GPU raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    BatchChosen,
    FloorMeasured,
    LayerMeasured,
)
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.loading import LoadedPipeline, load_asked
from pixart_tui.engine.sensitivity import BaselineImage, profile_model, profiling
from pixart_tui.engine.sensitivity.comparing import Comparer
from pixart_tui.engine.sensitivity.planning import resolve_settings
from pixart_tui.engine.sensitivity.rendering import Renderer
from tests.engine.sensitivity.events import Yielded, of

_REQUEST = ProfileRequest(
    model="synthetic:alpha-tiny",
    prompts=("red apple", "robot", "cat", "dog", "house"),
    num_inference_steps=1,
    guidance_scale=2.0,
    baseline_dtype="bfloat16",
    method="exhaustive",
    output="unused.json",
    threads=1,
)
_GUIDANCE = 2


@dataclass
class FullGpu:
    """How many images a transformer call may hold, from some call on; notes each call's images."""

    largest: int = 100
    full_from_call: int = 0
    calls: list[int] = field(default_factory=list)

    def watch(self, transformer: nn.Module) -> None:
        transformer.register_forward_pre_hook(self._hook, with_kwargs=False)

    def _hook(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        images = inputs[0].shape[0] // _GUIDANCE
        self.calls.append(images)
        if images > self.largest and len(self.calls) > self.full_from_call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FullGpu:
    full = FullGpu()

    def load(*args: Any, **kwargs: Any) -> LoadedPipeline:
        loaded = load_asked(*args, **kwargs)
        full.watch(loaded.pipeline.transformer)
        return loaded

    monkeypatch.setattr(profiling, "load_asked", load)
    return full


def _run(**arguments: Any) -> list[Yielded]:
    return list(profile_model(_REQUEST, **arguments))


def test_the_batch_is_halved_until_it_fits_and_every_image_is_measured(gpu: FullGpu) -> None:
    gpu.largest = 1
    events = _run()
    assert of(events, BatchChosen) == [
        BatchChosen(images=5),
        BatchChosen(images=2, reason="the GPU ran out of memory at 5"),
        BatchChosen(images=1, reason="the GPU ran out of memory at 2"),
    ]
    assert [x.sample.prompt for x in of(events, BaselineImage)] == list(_REQUEST.prompts)
    for event in of(events, LayerMeasured):
        assert [m.prompt for m in event.measurements] == list(_REQUEST.prompts)
    assert max(gpu.calls[2:]) == 1


def test_a_layer_that_does_not_fit_gets_a_baseline_of_its_own_batch_size(gpu: FullGpu) -> None:
    gpu.largest, gpu.full_from_call = 4, 3
    events = _run()
    halved = BatchChosen(images=2, reason="the GPU ran out of memory at 5")
    told = [x for x in events if isinstance(x, BatchChosen | LayerMeasured)]
    assert [type(x) for x in told[:4]] == [BatchChosen, LayerMeasured, LayerMeasured, BatchChosen]
    assert told[3] == halved
    # The baseline, two layers, the one that failed; the baseline again, that layer, the next.
    assert gpu.calls[:4] == [5, 5, 5, 5]
    assert gpu.calls[4:13] == [2, 2, 1] * 3
    layers = of(events, LayerMeasured)
    assert len({x.layer for x in layers}) == len(layers)
    assert {len(x.measurements) for x in layers} == {5}


def test_the_floor_that_does_not_fit_gets_a_baseline_of_its_own_batch_size(gpu: FullGpu) -> None:
    gpu.largest, gpu.full_from_call = 4, 1
    request = _REQUEST.replace(baseline_dtype="float32")
    events = list(profile_model(request))
    (floor,) = of(events, FloorMeasured)
    assert [c.prompt for c in floor.comparisons] == list(_REQUEST.prompts)
    assert gpu.calls[:11] == [5, 5, 2, 2, 1, 2, 2, 1, 2, 2, 1]


def test_what_is_not_disturbed_does_not_differ_after_the_batch_was_halved(
    tiny: LoadedPipeline,
) -> None:
    gpu, settings = FullGpu(), resolve_settings(_REQUEST, tiny)
    gpu.watch(tiny.pipeline.transformer)
    comparer = Comparer(Renderer(tiny.pipeline, settings, lambda: None), 5)
    comparer.baseline()
    gpu.largest = 3
    comparisons = comparer.compare(comparer.reference)
    assert comparer.batch_size == 2
    assert [c.latent_mse for c in comparisons] == [0.0] * 5


def test_a_resumed_run_starts_with_the_batch_that_fitted(gpu: FullGpu) -> None:
    gpu.largest = 2
    events = _run(batch_size=2)
    assert of(events, BatchChosen) == [BatchChosen(images=2)]
    assert max(gpu.calls) == 2


def test_a_single_image_that_does_not_fit_ends_with_what_to_do(gpu: FullGpu) -> None:
    gpu.largest = 0
    with pytest.raises(WorkError, match="single image") as raised:
        _run()
    assert raised.value.cause == "CUDA out of memory. Tried to allocate 2.00 GiB"
    assert "bfloat16" in raised.value.next_step


def test_after_a_full_gpu_the_model_is_whole_again(gpu: FullGpu) -> None:
    """The layer that ran out of memory is put back, so the next ones measure themselves alone."""
    calm = {x.layer: x.measurements for x in of(_run(batch_size=2), LayerMeasured)}
    gpu.largest = 2
    stressed = {x.layer: x.measurements for x in of(_run(), LayerMeasured)}
    assert stressed == calm
