"""Exports, loaded back by their own libraries, against our own deployment of the selection."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.exporting import modelopt
from pixart_tui.engine.exporting.checkpoint import (
    check_same_model,
    quantize_for_checkpoint,
    save_checkpoint,
)
from pixart_tui.engine.exporting.torchao_config import config_dict
from pixart_tui.engine.image_metrics import ssim_per_image
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.real import is_quantized
from tests.engine.exporting.pictures import (
    LAYERS,
    assigned,
    deployed,
    load,
    picture,
    run_snippet,
)
from tests.stand_ins import nexfort

_CPU_CASES = [
    (("int8_weightonly",), "float32"),
    (("int8_weightonly", "fp8_e4m3_weightonly"), "float32"),
]


def _torchao(path: Path, assignments: dict[str, str]) -> Path:
    path.write_text(json.dumps(config_dict(assignments)))
    return path


@pytest.mark.parametrize(("quant_types", "dtype"), _CPU_CASES)
def test_torchao_and_diffusers_give_the_very_images_of_our_deployment(
    quant_types: tuple[str, ...], dtype: str, tmp_path: Path
) -> None:
    selection = assigned(*quant_types)
    ours = deployed(selection, dtype)
    assert not torch.equal(ours, picture(load(dtype).pipeline))

    path = _torchao(tmp_path / "torchao.json", dict(selection.assignments))
    by_torchao = run_snippet("torchao", path, selection, dtype)
    assert torch.equal(picture(by_torchao), ours)

    loaded = load(dtype)
    quantize_for_checkpoint(loaded, selection.assignments)
    save_checkpoint(loaded.pipeline.transformer, tmp_path / "checkpoint")
    by_diffusers = run_snippet("diffusers", tmp_path / "checkpoint", selection, dtype)
    assert torch.equal(picture(by_diffusers), ours)
    modules = dict(by_diffusers.transformer.named_modules())
    linears = {n: m for n, m in modules.items() if isinstance(m, torch.nn.Linear)}
    assert {fqn for fqn, linear in linears.items() if is_quantized(linear)} == set(LAYERS)


def test_int8_with_activations_too_is_the_same_for_torchao(tmp_path: Path) -> None:
    selection = assigned("int8_dynamic")
    path = _torchao(tmp_path / "torchao.json", dict(selection.assignments))
    theirs = picture(run_snippet("torchao", path, selection, "float32"))
    assert torch.equal(theirs, deployed(selection, "float32"))


def test_onediff_s_snippet_has_the_real_onediffx_quantize_exactly_the_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = nexfort.install(tmp_path, monkeypatch)
    selection = assigned("int8_weightonly")
    path = tmp_path / "int8_weightonly.selected.json"
    path.write_text(onediff_file.render(dict.fromkeys(LAYERS, 1.0)))
    run_snippet("onediff", path, selection, "float32")
    (call,) = recorded.of("quantize")
    assert call["allowed"] == list(LAYERS)
    assert call["quant_type"] == "int8_weightonly"


def test_another_model_is_refused() -> None:
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
    with pytest.raises(RequestError, match="not the model that was profiled"):
        check_same_model(loaded, "sha256:0")


@pytest.mark.parametrize(
    ("quant_type", "tolerance"),
    [("fp8_e4m3_weightonly", 5e-5), ("int8_weightonly", 5e-4), ("fp8_e4m3_e4m3_dynamic", 1e-3)],
)
def test_modelopt_quantizes_exactly_the_layers_and_gives_nearly_the_images(
    quant_type: str, tolerance: float, tmp_path: Path
) -> None:
    pytest.importorskip("modelopt.torch.quantization", reason="nvidia-modelopt is not installed")
    selection = assigned(quant_type)
    path = tmp_path / "quant_config.py"
    path.write_text(modelopt.render_python(selection))
    pipe = run_snippet("modelopt", path, selection, "float32")
    on = {
        name.removesuffix(".weight_quantizer")
        for name, module in pipe.transformer.named_modules()
        if name.endswith("weight_quantizer") and module.is_enabled
    }
    assert on == set(LAYERS)
    from pixart_tui.domain.layers.quant_types import parse_quant_type
    from pixart_tui.engine.quant.apply import quantize_layers
    from pixart_tui.engine.quant.execution import Execution

    simulated = load("float32").pipeline
    types = dict.fromkeys(LAYERS, parse_quant_type(quant_type))
    quantize_layers(simulated.transformer, types, execution=Execution.SIMULATED)
    loss = 1 - ssim_per_image(picture(pipe), picture(simulated))[0]
    print(f"{quant_type}: 1 - SSIM to ModelOpt {loss:.2e}")  # noqa: T201
    assert loss < tolerance


@pytest.mark.gpu
@pytest.mark.parametrize("quant_type", ["fp8_e4m3_e4m3_dynamic", "int8_dynamic"])
def test_what_a_gpu_runs_is_the_same_there(quant_type: str, tmp_path: Path) -> None:
    selection = assigned(quant_type)
    ours = deployed(selection, "bfloat16", "cuda")
    path = _torchao(tmp_path / "torchao.json", dict(selection.assignments))
    theirs = picture(run_snippet("torchao", path, selection, "bfloat16", "cuda"))
    loaded = load("bfloat16", "cuda")
    quantize_for_checkpoint(loaded, selection.assignments)
    save_checkpoint(loaded.pipeline.transformer, tmp_path / "checkpoint")
    again = picture(
        run_snippet("diffusers", tmp_path / "checkpoint", selection, "bfloat16", "cuda")
    )
    assert torch.equal(again, ours)
    # Before 0.18 torchao's own int8 codes are rounded in half precision; ours are the reference's.
    coarse = quant_type == "int8_dynamic" and version("torchao").startswith("0.17.")
    assert ssim_per_image(theirs, ours)[0] > (0.98 if coarse else 0.9999)
