from __future__ import annotations

import json

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.scoring import score_layers
from pixart_tui.domain.provenance import Machine
from tests.adjoint_effects import sample_effects
from tests.samples import QUANT_TYPE, conditions, layer, measurement


def _sample() -> sidecar.ProfileSidecar:
    layers = (layer("a"), layer("b"))
    measurements = (measurement("a", 0.9),)
    return sidecar.ProfileSidecar(
        run="0a1b2c3d",
        date="2026-01-01T00:00:00+00:00",
        conditions=conditions(),
        machine=Machine(device="cpu", device_name="x", cpu_cores=2, memory_bytes=1, os="Linux"),
        versions={"torch": "2.13.0"},
        elapsed_s=1.0,
        deployment_floor=None,
        measurement_noise=None,
        layers=score_layers(layers, {"b": "K is not a multiple of 16"}, measurements),
        measurements=measurements,
        floor=(),
    )


def test_a_sidecar_gives_back_the_profile_with_its_exclusions() -> None:
    text = sidecar.render(_sample())
    read = sidecar.parse(text, "f.meta.json", sidecar.ProfileSidecar)
    assert read == _sample()
    assert read.profile.excluded == {"b": "K is not a multiple of 16"}
    assert read.profile.scores() == _sample().layers


def test_a_field_of_a_newer_version_does_not_hide_the_rest() -> None:
    content = json.loads(sidecar.render(_sample())) | {"later": 1}
    assert sidecar.parse(json.dumps(content), "f", sidecar.ProfileSidecar) == _sample()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "selection"}'])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"f\.meta\.json is not a pixart-tui sidecar"):
        sidecar.parse(text, "f.meta.json", sidecar.ProfileSidecar)


@pytest.mark.parametrize("number", [0, -1, 10**400])
def test_layers_of_impossible_shapes_are_refused(number: int) -> None:
    content = json.loads(sidecar.render(_sample()))
    content["layers"][0]["layer"]["in_features"] = number
    with pytest.raises(RequestError, match="is not a pixart-tui sidecar"):
        sidecar.parse(json.dumps(content), "x.meta.json", sidecar.ProfileSidecar)


def test_a_newer_format_is_refused() -> None:
    content = json.loads(sidecar.render(_sample())) | {"schema_version": 9}
    with pytest.raises(RequestError, match="is of a newer format, 9"):
        sidecar.parse(json.dumps(content), "x.meta.json", sidecar.ProfileSidecar)


def test_the_time_of_each_layer_is_kept() -> None:
    latency = Latency(unquantized=2e-6, quantized=1e-6, noise=1e-8)
    timed = _sample().profile.replace(latencies={"a": latency})
    written = sidecar.render(_sample().replace(layers=timed.scores()))
    assert json.loads(written)["layers"][0]["latency_s"]["quantized"] == 1e-6
    read = sidecar.parse(written, "f", sidecar.ProfileSidecar)
    assert read.profile.latencies == {"a": latency}
    assert read.profile.scores() == timed.scores()


def test_a_sidecar_from_before_layers_were_timed_is_read() -> None:
    content = json.loads(sidecar.render(_sample()))
    for entry in content["layers"]:
        del entry["latency_s"]
    read = sidecar.parse(json.dumps(content), "f", sidecar.ProfileSidecar)
    assert read == _sample()
    assert read.profile.latencies == {}


def test_a_sidecar_of_the_removed_method_is_refused_in_one_sentence() -> None:
    content = json.loads(sidecar.render(_sample()))
    content["conditions"]["method"] = "fast"
    with pytest.raises(RequestError) as raised:
        sidecar.parse(json.dumps(content), "f.meta.json", sidecar.ProfileSidecar)
    assert raised.value.title == "f.meta.json is of the fast method, which was removed"
    assert "pixart-tui profile" in raised.value.next_step


def test_what_the_removed_method_wrote_besides_does_not_hide_that_it_was_removed() -> None:
    content = json.loads(sidecar.render(_sample()))
    content["conditions"] |= {"method": "fast", "cost_share": 0.1}
    for entry in content["layers"]:
        entry |= {"estimated": True, "imaged": 0}
    content |= {"probing": {"rows": []}, "cost": {"forwards": 3.0}}
    with pytest.raises(RequestError, match="which was removed"):
        sidecar.parse(json.dumps(content), "f.meta.json", sidecar.ProfileSidecar)


def test_scores_of_effects_come_back_without_the_effects() -> None:
    profile = Profile(
        conditions=conditions().replace(method="adjoint", draws=4),
        layers=(layer("a"), layer("b")),
        excluded={},
        measurements=(),
        effects=(sample_effects("robot", {QUANT_TYPE: [0.1, 1e-4]}, draws=4),),
    )
    written = _sample().replace(
        conditions=profile.conditions, layers=profile.scores(), measurements=()
    )
    read = sidecar.parse(sidecar.render(written), "f", sidecar.ProfileSidecar).profile
    assert read.scores() == profile.scores()
    assert read.scores()[0].rank == 1
    assert not read.effects
