"""Every kind of PixArt pipeline: profiled, selected, verified, optimized, exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import pytest
import torch

from pixart_tui import Profiled, export, load, optimize, profile, restore, select, verify

_TYPE: Final = "int8_weightonly"


def _saved(model: str, directory: Path) -> Path:
    load(model, device="cpu").save_pretrained(directory)
    return directory


def _alpha(directory: Path) -> Path:
    return _saved("synthetic:alpha-tiny", directory)


def _sigma(directory: Path) -> Path:
    return _saved("synthetic:sigma-tiny", directory)


def _pag(directory: Path) -> Path:
    """A Sigma that was saved with perturbed attention guidance."""
    pipe = load("synthetic:sigma-tiny", device="cpu")
    pag = diffusers.PixArtSigmaPAGPipeline(**pipe.components, pag_applied_layers=["blocks.1"])
    pag.save_pretrained(directory)
    return directory


def _lcm(directory: Path) -> Path:
    """Four steps, no guidance."""
    pipe = load("synthetic:alpha-tiny", device="cpu")
    pipe.scheduler = diffusers.LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(directory)
    _state(directory, num_inference_steps=4, guidance_scale=0.0)
    return directory


def _dmd(directory: Path) -> Path:
    """One step at a timestep of its own."""
    pipe = load("synthetic:alpha-tiny", device="cpu")
    pipe.scheduler = diffusers.DDPMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(directory)
    _state(directory, timesteps=[400], guidance_scale=1.0)
    return directory


def _deep(directory: Path) -> Path:
    """More blocks than PixArt has, as fine-tunes of 900M parameters do."""
    return _rebuilt(directory, num_layers=7)


def _wide(directory: Path) -> Path:
    return _rebuilt(directory, num_attention_heads=3)


def _larger(directory: Path) -> Path:
    """Trained at twice the size, as Sigma 2K is: its positions are scaled by that."""
    return _rebuilt(directory, sample_size=32, interpolation_scale=4)


def _rebuilt(directory: Path, **changes: Any) -> Path:
    pipe = load("synthetic:sigma-tiny", device="cpu")
    config = dict(pipe.transformer.config) | changes
    if "num_attention_heads" in changes:
        width = changes["num_attention_heads"] * config["attention_head_dim"]
        config |= {"cross_attention_dim": width}
    torch.manual_seed(0)
    pipe.transformer = diffusers.PixArtTransformer2DModel.from_config(config).eval()
    pipe.save_pretrained(directory)
    return directory


def _state(directory: Path, **defaults: Any) -> None:
    (directory / "pixart_tui.json").write_text(json.dumps(defaults))


MAKERS: Final = (_alpha, _sigma, _pag, _lcm, _dmd, _deep, _wide, _larger)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__.strip("_"))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = request.param
    return make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def profiled(model: Path) -> Profiled:
    return profile(
        str(model),
        quant_type=_TYPE,
        prompts=["a red apple", "a robot"],
        draws=2,
        height=64,
        width=64,
        device="cpu",
        all_samples=True,
        **_steps(model),
    )


def _steps(model: Path) -> dict[str, Any]:
    """Three, unless the model states its own."""
    return {} if (model / "pixart_tui.json").is_file() else {"steps": 3}


def test_it_is_profiled(profiled: Profiled) -> None:
    scores = profiled.profile.scores()
    assert len(scores) == len(profiled.profile.layers)
    measured = [score for score in scores if score.ssim is not None]
    assert len(measured) == len(scores)
    assert len({score.ssim for score in measured}) > len(measured) / 2


def test_a_selection_is_verified(profiled: Profiled) -> None:
    verified = verify(
        profiled,
        rule="flops-share",
        parameter=0.5,
        repair_images=1,
        report_images=2,
        rounds=1,
        device="cpu",
    )
    assert verified.selection.chosen
    assert verified.verification.verified.images >= 2
    assert 0 <= verified.verification.verified.loss < 1


def test_a_selection_is_exported(profiled: Profiled, tmp_path: Path) -> None:
    selection = select(profiled, flops_share=0.5)
    path = export(selection, profiled, tmp_path / "layers.json", format="onediff")
    assert set(json.loads(path.read_text())) == set(selection.chosen)


def test_it_is_optimized_and_restored(model: Path, profiled: Profiled) -> None:
    kind = json.loads((model / "model_index.json").read_text())["_class_name"]
    pipe = getattr(diffusers, kind).from_pretrained(model)
    asked = profiled.profile.conditions
    steps: dict[str, Any] = {"num_inference_steps": asked.num_inference_steps}
    if asked.timesteps:
        steps = {"timesteps": list(asked.timesteps)}

    def drawn() -> Any:
        return pipe(
            "a red apple",
            guidance_scale=asked.guidance_scale,
            height=64,
            width=64,
            use_resolution_binning=False,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
            **steps,
        ).images

    image = drawn()
    optimize(
        pipe,
        selection=select(profiled, flops_share=0.9),
        compiler="none",
        tell=lambda _text: None,
    )
    assert not np.array_equal(drawn(), image)
    restore(pipe)
    assert np.array_equal(drawn(), image)
