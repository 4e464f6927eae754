"""A request of each kind, small enough to be worked on in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.requests import (
    AnyRequest,
    BenchRequest,
    CompareRequest,
    ExportRequest,
    GenerateRequest,
    ProfileRequest,
    VerifyRequest,
)
from pixart_tui.domain.selecting.selection import Selection
from tests.samples import QUANT_TYPE, conditions

_MODEL: Final = "synthetic:alpha-tiny"


def profile(folder: Path) -> AnyRequest:
    """An exhaustive profile of the embedded model: 86 layers, one after the other."""
    return ProfileRequest(
        prompts=("robot",),
        num_inference_steps=1,
        height=64,
        width=64,
        method="exhaustive",
        output=str(folder / "out" / "fp8_e4m3.json"),
        threads=1,
    )


def adjoint(folder: Path) -> AnyRequest:
    """An adjoint profile with many samples."""
    return ProfileRequest(
        prompts=("robot", "owl", "cat"),
        num_inference_steps=2,
        height=64,
        width=64,
        output=str(folder / "out" / "fp8_e4m3.json"),
        threads=1,
    )


def verify(folder: Path) -> AnyRequest:
    """A verification whose profile is not there yet."""
    return VerifyRequest(
        model=_MODEL,
        profiles=(str(folder / "fp8_e4m3.json"),),
        rule="flops-share",
        parameter=0.5,
        output=str(folder / "out" / "selected.json"),
    )


def compare(folder: Path) -> AnyRequest:
    """A comparison of many pairs."""
    return CompareRequest(
        prompts=tuple(f"robot {number}" for number in range(40)),
        num_inference_steps=2,
        threads=1,
        output=str(folder / "out" / "pairs.png"),
    )


def bench(folder: Path) -> AnyRequest:
    """A benchmark of many calls."""
    return BenchRequest(
        model=_MODEL,
        compilers=("none",),
        num_inference_steps=3,
        repeats=500,
        output=str(folder / "out" / "bench.json"),
    )


def generate(folder: Path) -> AnyRequest:
    """A generation with many steps."""
    return GenerateRequest(
        model="synthetic:sigma-tiny",
        prompts=("owl",),
        num_inference_steps=900,
        warmups=0,
        output=str(folder / "out" / "owl.png"),
    )


def export(folder: Path) -> AnyRequest:
    """A checkpoint of another model than the selection was made for."""
    selection = Selection(
        rule="top-percentage",
        parameter=100.0,
        quant_type=QUANT_TYPE,
        assignments={"a": QUANT_TYPE},
        chosen=("a",),
        kept=(),
        flops_share=1.0,
        predicted_loss=0.01,
    )
    record = SelectionSidecar(
        profile="fp8_e4m3.json",
        conditions=conditions(),
        selection=selection,
        measured_ssim={"a": 0.99},
    )
    return ExportRequest(record=record, output=str(folder / "out" / "checkpoint"))


MAKERS: Final[tuple[Callable[[Path], AnyRequest], ...]] = (
    *(profile, adjoint, verify, compare),
    *(bench, generate, export),
)
