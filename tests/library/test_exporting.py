"""Exports from Python."""

from __future__ import annotations

from pathlib import Path

from pixart_tui import export, profile, select, verify
from tests.engine.loading.loras import MODEL, diffusers_file, random_halves


def test_a_checkpoint_and_a_verification_have_the_lora_that_was_profiled(tmp_path: Path) -> None:
    lora = diffusers_file(tmp_path / "style.safetensors", random_halves())
    found = profile(
        MODEL,
        lora=lora,
        quant_type="int8_weightonly",
        prompts=["a", "b"],
        steps=2,
        draws=2,
        height=64,
        width=64,
        device="cpu",
    )
    selection = select(found, flops_share=0.5)
    path = export(selection, found, tmp_path / "checkpoint", format="diffusers", device="cpu")
    assert (path / "config.json").is_file()
    verified = verify(
        found,
        rule="flops-share",
        parameter=0.5,
        repair_images=1,
        report_images=2,
        rounds=1,
        device="cpu",
    )
    assert verified.selection.chosen
