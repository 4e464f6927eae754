"""OneDiff's back-ends through the real onediffx, with a recording stand-in for nexfort."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from pixart_tui.domain.deploying.deployment import Compiler, Deployment, MemoryOptions
from pixart_tui.domain.deploying.onediff_backends import NEXFORT_CONFIG, is_installed
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.selection_files import selection_files
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.selecting.selection import select
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.runs.results.profile_files import read_profile_file
from tests.stand_ins import nexfort
from tests.stand_ins.nexfort import Recorded

_CPU = torch.device("cpu")
_QUANT_TYPE = "fp8_e4m3_e4m3_dynamic"
_PROFILE = Path("profiles/pixart-emoji/fp8_e4m3.json")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return nexfort.install(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def emoji() -> LoadedPipeline:
    """Quantizing changes nothing in it: the stand-in only says what it would."""
    return load_pipeline("pixart-emoji", dtype=torch.float32, device=_CPU)


def _tiny() -> LoadedPipeline:
    return load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=_CPU)


def _quantized(recorded: Recorded, loaded: LoadedPipeline, file: Path, percentage: float) -> Any:
    """What the real onediffx would have nexfort quantize, in the model's order."""
    from onediffx import quantize_pipe

    recorded.clear()
    quantize_pipe(loaded.pipeline, str(file), percentage, ignores=[], quant_type=_QUANT_TYPE)
    (call,) = recorded.of("quantize")
    assert call["quant_type"] == _QUANT_TYPE
    return set(call["layers"])


@pytest.mark.parametrize("percentage", [0, 1, 10, 29, 50, 58, 90, 99, 100])
def test_the_layers_that_select_promises_are_those_that_onediffx_quantizes(
    percentage: float, recorded: Recorded, emoji: LoadedPipeline, tmp_path: Path
) -> None:
    profile = read_profile_file(_PROFILE)
    selection = select(profile.scores(), _QUANT_TYPE, "top-percentage", percentage)

    assert _quantized(recorded, emoji, _PROFILE, percentage) == set(selection.chosen)

    chosen = tmp_path / "fp8_e4m3.selected.json"
    chosen.write_text(selection_files([profile], selection, ["p.json"])[0])
    assert _quantized(recorded, emoji, chosen, 100) == set(selection.chosen)


@pytest.mark.parametrize("percentage", [10, 33, 50, 90])
def test_so_do_they_where_layers_tie(
    percentage: float, recorded: Recorded, emoji: LoadedPipeline, tmp_path: Path
) -> None:
    """Only five values of SSIM for 85 layers, in no order; some above 1, which is written as 1."""
    scores = list(read_profile_file(_PROFILE).scores())
    values = random.Random(3).choices([0.9, 0.95, 0.99, 1.0, 1.0000001], k=len(scores))
    tied = [
        score if score.ssim is None else score.replace(ssim=value)
        for score, value in zip(scores, values, strict=True)
    ]
    selection = select(tied, _QUANT_TYPE, "top-percentage", percentage)
    file = tmp_path / "tied.json"
    known = {score.layer.fqn: score.ssim for score in tied if score.ssim is not None}
    file.write_text(onediff_file.render(known))

    found = _quantized(recorded, emoji, file, percentage)

    assert len(found) == int(len(known) * (percentage / 100))
    assert found == set(selection.chosen)


def test_nexfort_is_called_as_onediffs_script_calls_it(recorded: Recorded, tmp_path: Path) -> None:
    loaded = _tiny()
    file = tmp_path / "layers.json"
    names = ["transformer_blocks.0.attn1.to_q", "proj_out", "transformer_blocks.1.ff.net.2"]
    file.write_text(json.dumps({name: {"ssim": 1 - i / 9} for i, name in enumerate(names)}))
    deployment = Deployment(
        compiler="nexfort",
        choice=Choice.of_one("fp8_e4m3_e4m3_dynamic_per_tensor", names[:2]),
        layer_file=str(file),
        top_percentage=67,
    )

    deploy(loaded.pipeline, deployment, None, _CPU)

    (asked,) = recorded.of("quantize")
    assert asked["quant_type"] == "fp8_e4m3_e4m3_dynamic_per_tensor"
    assert set(asked["layers"]) == set(names[:2])
    formats = recorded.of("memory_format")
    assert [call["module"] for call in formats] == ["PixArtTransformer2DModel", "AutoencoderKL"]
    assert {call["memory_format"] for call in formats} == {"torch.channels_last"}
    compiled = recorded.of("compile")
    assert [call["module"] for call in compiled] == [
        *("T5EncoderModel", "PixArtTransformer2DModel", "Decoder", "Encoder")
    ]
    mode = json.loads(NEXFORT_CONFIG)["mode"]
    assert all(call["options"] == {"mode": mode} for call in compiled)


def test_without_a_file_nexfort_chooses_the_layers(recorded: Recorded) -> None:
    choice = Choice.of_one("int8_dynamic", ["proj_out"])

    deploy(_tiny().pipeline, Deployment(compiler="nexfort", choice=choice), None, _CPU)

    (asked,) = recorded.of("quantize")
    assert asked["quant_type"] == "int8_dynamic"
    assert "proj_out" in asked["layers"]
    assert len(asked["layers"]) > 20


def test_every_key_of_nexforts_configuration_reaches_it(recorded: Recorded) -> None:
    config = '{"mode": "jit", "options": {"inductor.optimize_linear_epilogue": true}}'

    deploy(_tiny().pipeline, Deployment(compiler="nexfort", compiler_config=config), None, _CPU)

    options = recorded.of("compile")[0]["options"]
    assert options == json.loads(config)
    assert recorded.of("memory_format") == []
    assert recorded.of("quantize") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choice": Choice(kept_steps=KeptSteps(last=1))}, "--keep-steps"),
        (
            {"choice": Choice(assignments={"a": "int8_dynamic", "b": "int8_weightonly"})},
            "several quant types",
        ),
        ({"memory": MemoryOptions(text_encoder_8bit=True)}, "memory options"),
        ({"fp8_attention": True}, "--fp8-attention"),
    ],
)
def test_what_only_our_compilers_do_is_refused(
    changes: dict[str, Any], said: str, recorded: Recorded
) -> None:
    deployment = Deployment(compiler="nexfort").replace(**changes)

    with pytest.raises(RequestError, match=said):
        deploy(_tiny().pipeline, deployment, None, _CPU)

    assert recorded.of("compile") == []


@pytest.mark.parametrize("compiler", ["nexfort", "oneflow"])
def test_a_backend_that_is_not_installed_says_what_to_install(compiler: Compiler) -> None:
    if is_installed(compiler):
        pytest.skip(f"{compiler} is here")

    with pytest.raises(RequestError) as caught:
        deploy(_tiny().pipeline, Deployment(compiler=compiler), None, _CPU)

    error = caught.value
    assert len(error.lines()) <= 5
    assert torch.__version__.split("+")[0] in error.cause
    assert "--compiler torch" in error.next_step
    assert {"nexfort": "torch240cu121", "oneflow": "community_cu118"}[compiler] in error.cause


def test_a_backend_that_cannot_be_imported_is_explained(recorded: Recorded, tmp_path: Path) -> None:
    (tmp_path / "nexfort" / "compilers" / "__init__.py").write_text("import libcudart_of_no_one\n")

    with pytest.raises(RequestError, match="libcudart_of_no_one"):
        deploy(_tiny().pipeline, Deployment(compiler="nexfort"), None, _CPU)


def test_a_backend_that_fails_is_no_success(recorded: Recorded, tmp_path: Path) -> None:
    (tmp_path / "nexfort" / "compilers" / "__init__.py").write_text(
        "def nexfort_compile(module, **options):\n    raise RuntimeError('no such GPU')\n"
    )

    with pytest.raises(WorkError, match="nexfort failed") as caught:
        deploy(_tiny().pipeline, Deployment(compiler="nexfort"), None, _CPU)
    assert "no such GPU" in caught.value.cause
