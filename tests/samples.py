"""Small values for tests, made up here; nothing measured them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import ProfileSidecar
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.measurements import Measurement
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.provenance import Machine

QUANT_TYPE = "fp8_e4m3_e4m3_dynamic"


def layer(fqn: str, rows: int = 64, size: int = 256) -> Layer:
    return Layer(fqn=fqn, in_features=size, out_features=size, has_bias=True, rows=rows)


def measurement(fqn: str, ssim: float = 0.99, prompt: str = "robot", seed: int = 0) -> Measurement:
    return Measurement(
        layer=fqn,
        quant_type=QUANT_TYPE,
        prompt=prompt,
        seed=seed,
        ssim=ssim,
        psnr_db=40.0,
        latent_mse=1e-4,
    )


def score(fqn: str, ssim: float | None, rows: int = 64) -> LayerScore:
    status = LayerStatus.MEASURED if ssim is not None else LayerStatus.EXCLUDED
    return LayerScore(layer=layer(fqn, rows), status=status, samples=1, ssim=ssim)


def conditions() -> Conditions:
    return Conditions(
        model="pixart-emoji",
        family="alpha",
        model_fingerprint="sha256:0",
        quant_type=QUANT_TYPE,
        execution="simulated",
        method="exhaustive",
        prompts=("robot",),
        negative_prompt="",
        seeds=(0,),
        num_inference_steps=20,
        guidance_scale=2.0,
        height=128,
        width=128,
        baseline_dtype="float32",
        floor_dtype="bfloat16",
    )


def write_profile(path: Path, profile: Profile, ssims: Mapping[str, float], device: str) -> Path:
    """The two files of a profile."""
    record = ProfileSidecar(
        run="0a1b2c3d",
        date="2026-01-01T00:00:00+00:00",
        conditions=profile.conditions,
        machine=Machine(device=device, device_name="x", cpu_cores=2, memory_bytes=1, os="Linux"),
        versions={"torch": "2.11.0"},
        elapsed_s=1.0,
        deployment_floor=None,
        measurement_noise=None,
        layers=profile.scores(),
        measurements=profile.measurements,
        floor=(),
    )
    path.write_text(onediff_file.render(ssims))
    Path(onediff_file.sidecar_path(path)).write_text(sidecar.render(record))
    return path
