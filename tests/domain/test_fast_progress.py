from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.events import ImagesPlanned, LayerMeasured, LayerProbed, ProbesPrepared
from pixart_tui.domain.fast_progress import FastProgress
from pixart_tui.domain.probing import ProbeRow
from tests.samples import measurement

_SAMPLES = [("a", 0), ("b", 0)]
_PREPARED = ProbesPrepared(
    rows=tuple(ProbeRow(prompt=p, seed=s, step=1) for p, s in _SAMPLES),
    anchor=1,
    gains=(0.1, 0.2),
    null=(0.0, 0.0),
    forwards=3.0,
    elapsed_s=1.0,
)


def _probed(layer: str, error: float = 1e-5) -> LayerProbed:
    return LayerProbed(layer=layer, errors=(error, error), forwards=2.0, elapsed_s=1.0)


@given(st.lists(st.sampled_from("xyz"), max_size=6))
def test_a_layer_that_is_probed_again_keeps_its_first_errors(layers: list[str]) -> None:
    progress = FastProgress()
    progress.take(_PREPARED)
    for n, layer in enumerate(layers):
        progress.take(_probed(layer, float(n)))
    assert progress.probing is not None
    assert progress.probing.errors == {x: (layers.index(x),) * 2 for x in set(layers)}
    assert progress.probing.forwards == 3.0 + 2.0 * len(set(layers))


def test_what_was_planned_and_is_not_made_is_missing() -> None:
    progress = FastProgress()
    assert progress.missing(_SAMPLES) == {}
    progress.take(ImagesPlanned(purpose="calibrating", round=0, tasks={"x": (0, 1), "y": (1,)}))
    made = LayerMeasured(layer="x", measurements=(measurement("x", prompt="a"),), elapsed_s=1.0)
    progress.take(made)
    assert progress.missing(_SAMPLES) == {"x": (1,), "y": (1,)}
