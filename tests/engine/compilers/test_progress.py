from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.callback import callback_handler

from pixart_tui.domain.benchmarks.warmup import TOTAL, Region, RegionState, Warmup
from pixart_tui.engine.compilers import progress as progress_module
from pixart_tui.engine.compilers.progress import (
    WarmupProgress,
    compiled_regions,
    following,
    region,
)
from pixart_tui.engine.loading import LoadedPipeline


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> None:
    torch.compiler.reset()


class _Part(nn.Module):
    """Not an ``nn.Sequential``: dynamo compiles none of torch's own modules by itself."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.linear(x))


def _progress(
    told: list[Warmup], estimates: dict[str, float] | None = None, *, cached: bool = False
) -> WarmupProgress:
    return WarmupProgress(told.append, cached=cached, estimates=estimates or {})


def test_a_pipeline_that_compiles_nothing_is_not_told_of(tiny: LoadedPipeline) -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    with following(tiny.pipeline, progress):
        assert progress.finish() is None
    assert told == []


def test_every_change_of_state_is_told_at_once() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    for state in RegionState:
        progress.take(Region(name="x", state=state))
    assert [warmup.regions[0].state for warmup in told] == list(RegionState)


def test_other_changes_are_told_four_times_a_second_at_most() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    with region("Triton kernels", 1000, progress.take) as kernels:
        for _ in range(1000):
            kernels.advance()
    assert len(told) <= 5
    last = progress.finish()
    assert last is not None
    assert (last.regions[0].compiled, last.regions[0].state) == (1000, RegionState.DONE)


def test_time_passes_while_one_call_compiles() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    progress.take(Region(name="x", state=RegionState.COMPILING))
    time.sleep(1.2)
    progress.finish()
    elapsed = [warmup.regions[0].elapsed_s for warmup in told]
    assert len(elapsed) >= 3
    assert elapsed == sorted(elapsed)
    assert 1.1 < elapsed[-1] < 3
    assert told[-1].finished


def test_nothing_is_told_after_the_end() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    progress.take(Region(name="x", compiled=1))
    assert progress.finish() is not None
    count = len(told)
    progress.take(Region(name="y"))
    time.sleep(0.7)
    assert progress.finish() is None
    assert len(told) == count


def test_estimates_are_those_of_the_last_time_or_none() -> None:
    told: list[Warmup] = []
    progress = _progress(told, {"x": 7.0, TOTAL: 9.0}, cached=True)
    progress.take(Region(name="x"))
    progress.take(Region(name="y"))
    progress.finish()
    assert [found.estimated_s for found in told[-1].regions] == [7.0, None]
    assert (told[-1].estimated_s, told[-1].cached) == (9.0, True)


def test_what_never_compiled_is_not_called_done() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    progress.take(Region(name="x", graphs=1))
    last = progress.finish()
    assert last is not None
    assert last.regions[0].state is RegionState.WAITING


def test_hand_written_kernels_report_themselves() -> None:
    seen: list[Region] = []
    with region("Triton kernels", 3, seen.append) as kernels:
        kernels.advance()
        kernels.advance(2, from_cache=True)
        kernels.autotuned(8)
    first, last = seen[0], seen[-1]
    assert (first.found, first.graphs, first.state) == (3, 3, RegionState.COMPILING)
    assert (last.compiled, last.from_cache, last.autotuned) == (1, 2, 8)
    assert last.state is RegionState.DONE


def test_kernels_that_fail_are_not_done() -> None:
    seen: list[Region] = []
    with pytest.raises(ZeroDivisionError), region("Triton kernels", None, seen.append):
        raise ZeroDivisionError
    assert seen[-1].state is RegionState.COMPILING


def test_what_comes_one_by_one_adds_up() -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    progress.add("CUDA graphs", compiled=1, elapsed_s=2.0)
    progress.add("CUDA graphs", from_cache=2, elapsed_s=1.0)
    last = progress.finish()
    assert last is not None
    (found,) = last.regions
    assert (found.compiled, found.from_cache, found.elapsed_s) == (1, 2, 3.0)
    assert (found.progress, found.state) == ("3", RegionState.DONE)


def test_blocks_share_a_graph_and_a_whole_model_is_one(tiny: LoadedPipeline) -> None:
    blocks = tiny.pipeline.transformer.transformer_blocks
    for block in blocks:
        block.compile()
    tiny.pipeline.vae.decoder.compile()
    assert [(r.name, r.found, r.graphs) for r in compiled_regions(tiny.pipeline)] == [
        ("transformer blocks", len(blocks), 1),
        ("VAE decoder", 1, 1),
    ]


def test_a_wrapped_model_is_found_too() -> None:
    pipeline = SimpleNamespace(transformer=torch.compile(nn.Linear(2, 2)), vae=None)
    assert [(r.name, r.found) for r in compiled_regions(pipeline)] == [("transformer", 1)]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_graph_belongs_to_the_module_that_is_called(
    tiny: LoadedPipeline, *, wrapped: bool
) -> None:
    """The ``eager`` back end makes no code, but dynamo's callbacks are the real ones."""
    told: list[Warmup] = []
    part = _Part()
    if wrapped:
        tiny.pipeline.register_modules(text_encoder=torch.compile(part, backend="eager"))
    else:
        part.compile(backend="eager")
        tiny.pipeline.register_modules(text_encoder=part)
    progress = _progress(told)
    with following(tiny.pipeline, progress):
        tiny.pipeline.text_encoder(torch.zeros(1, 2))
    states = {found.name: found.state for warmup in told for found in warmup.regions}
    progress.finish()
    assert "other" not in states
    assert RegionState.COMPILING in {found.state for warmup in told for found in warmup.regions}
    assert set(states) == {"text encoder"}


def test_a_compiled_function_outside_every_part_is_told_too(tiny: LoadedPipeline) -> None:
    told: list[Warmup] = []
    progress = _progress(told)
    with following(tiny.pipeline, progress):
        torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(1))
    progress.finish()
    assert [found.name for found in told[-1].regions] == ["other"]


def test_torch_is_left_as_it_was(tiny: LoadedPipeline) -> None:
    before = len(callback_handler.start_callbacks), len(callback_handler.end_callbacks)
    with following(tiny.pipeline, _progress([])):
        pass
    assert (len(callback_handler.start_callbacks), len(callback_handler.end_callbacks)) == before


def test_of_what_triton_says_only_our_kernels_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton runs on no CPU: a stand-in has its listener's place, see ``triton.knobs``."""
    knobs = SimpleNamespace(compilation=SimpleNamespace(listener=None))
    monkeypatch.setitem(sys.modules, "triton.knobs", knobs)
    progress = _progress([])
    with following(SimpleNamespace(), progress):
        for module, cache_hit in (
            ("pixart_tui.engine.kernels.rows", False),
            ("pixart_tui.engine.kernels.rows", True),
            ("torch._inductor.runtime", False),
        ):
            knobs.compilation.listener(
                src=SimpleNamespace(fn=SimpleNamespace(module=module)),
                metadata={},
                metadata_group={},
                times=SimpleNamespace(total=1_500_000),
                cache_hit=cache_hit,
            )
    assert knobs.compilation.listener is None
    last = progress.finish()
    assert last is not None
    (found,) = last.regions
    assert (found.name, found.compiled, found.from_cache) == ("Triton kernels", 1, 1)
    assert found.elapsed_s == 3.0


@pytest.mark.gpu
def test_kernels_of_this_package_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.compilers.triton_kernel import add_one

    progress = _progress([])
    pipeline = SimpleNamespace()
    x = torch.zeros(8, device="cuda")
    with following(pipeline, progress):
        add_one[(1,)](x, 8, 16)
    assert progress.region("Triton kernels").ready == 0  # not ours
    monkeypatch.setattr(progress_module, "_OUR_KERNELS", "tests.")
    with following(pipeline, progress):
        add_one[(1,)](x, 8, 32)
    last = progress.finish()
    assert x.tolist() == [2.0] * 8
    assert last is not None
    assert [(r.name, r.ready) for r in last.regions] == [("Triton kernels", 1)]


@pytest.mark.gpu
def test_cuda_graphs_and_tuning_are_seen() -> None:
    told: list[Warmup] = []
    device = torch.device("cuda")
    part = _Part(1024).to(device, torch.bfloat16)
    part.compile(mode="max-autotune")
    pipeline = SimpleNamespace(transformer=part)
    progress = _progress(told)
    with following(pipeline, progress), torch.inference_mode():
        for _ in range(4):
            part(torch.zeros(64, 1024, device=device, dtype=torch.bfloat16))
    last = progress.finish()
    assert last is not None
    found = {known.name: known for known in last.regions}
    assert found["transformer"].ready >= 1
    assert found["CUDA graphs"].compiled >= 1
    assert found["transformer"].from_cache or found["transformer"].autotuned > 1
