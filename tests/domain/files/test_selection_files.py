from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.selection_files import selection_files
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting import onediff_rule
from pixart_tui.domain.selecting.selection import Selection, select
from tests.samples import QUANT_TYPE, conditions, layer, measurement

ssims = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def _profile(ssim_by_fqn: dict[str, float], *unmeasured: str) -> Profile:
    return Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in (*ssim_by_fqn, *unmeasured)),
        excluded=dict.fromkeys(unmeasured, "too small"),
        measurements=tuple(measurement(fqn, ssim) for fqn, ssim in ssim_by_fqn.items()),
    )


def _selection(profile: Profile, top_percentage: float) -> Selection:
    return select(profile.scores(), QUANT_TYPE, "top-percentage", top_percentage)


def test_holds_only_the_chosen_layers_with_their_measured_ssim() -> None:
    profile = _profile({"a": 0.9, "b": 0.99, "c": 0.5}, "proj_out")

    text, _ = selection_files([profile], _selection(profile, 67), ["fp8_e4m3.json"])

    assert onediff_file.parse(text, "text") == {"b": 0.99, "a": 0.9}


def test_the_sidecar_says_how_it_was_made() -> None:
    profile = _profile({"a": 0.9, "b": 0.99})
    selection = _selection(profile, 50)

    _, text = selection_files([profile], selection, ["fp8_e4m3.json"])

    record = sidecar.parse(text, "text", SelectionSidecar)
    assert record.profile == "fp8_e4m3.json"
    assert record.conditions == profile.conditions
    assert record.selection == selection
    assert record.measured_ssim == {"b": 0.99}
    assert record.use_with_top_percentage == 100


@given(ssims, st.integers(0, 100))
def test_onediffx_quantizes_exactly_the_selection_at_100_percent(
    values: list[float], top_percentage: int
) -> None:
    profile = _profile({f"layer{index}": ssim for index, ssim in enumerate(values)})
    selection = _selection(profile, top_percentage)

    text, _ = selection_files([profile], selection, ["p.json"])

    if selection.chosen:
        ssim_by_fqn = onediff_file.parse(text, "text")
        assert onediff_rule.chosen_layers(ssim_by_fqn, 100) == selection.chosen
    else:
        assert text == "{}\n"
