"""Schedules, the latents' normalization and the assets that training leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

import pixart_tui
from training.architecture import DEFAULT_CALL
from training.dataset import random_indices
from training.evaluate import nearest
from training.schedule import PRINT_EVERY, Budget, Clock, constant_then_decay, cosine
from training.vae import normalize_latents

ASSETS = Path(pixart_tui.__file__).parent / "assets"
MODEL = ASSETS / "pixart-emoji"
CPU = torch.device("cpu")


@pytest.mark.parametrize("schedule", [cosine, constant_then_decay])
def test_rates_rise_from_nothing_and_end_at_nothing(schedule: object) -> None:
    assert callable(schedule)
    assert schedule(0.0) == 0
    assert schedule(0.05) > 0.9
    assert schedule(1.0) == pytest.approx(0, abs=1e-6)


def test_a_budget_of_steps_is_spent_by_steps_however_long_they_take() -> None:
    clock = Clock(Budget(steps=4), CPU, started=-1e9)
    assert list(clock.steps()) == [0, 0.25, 0.5, 0.75]
    assert clock.step == 4


def test_a_budget_of_seconds_is_spent_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(Budget(seconds=8), CPU, started=100)
    moments = iter([100, 102, 107, 109])
    monkeypatch.setattr(clock, "elapsed", lambda: next(moments) - clock.started)
    assert list(clock.steps()) == [0, 0.25, 0.875]


def test_of_two_budgets_the_first_that_is_spent_ends_the_stage() -> None:
    budget = Budget(seconds=10, steps=100)
    assert budget.spent(2, 50) == 0.5
    assert budget.spent(8, 50) == 0.8


@pytest.mark.parametrize(
    ("budget", "empty"),
    [(Budget(seconds=0), True), (Budget(steps=0), True), (Budget(steps=1), False)],
)
def test_a_budget_of_nothing_is_empty(budget: Budget, empty: bool) -> None:
    assert budget.empty is empty


def test_the_first_loss_is_printed_then_the_mean_of_those_since(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock(Budget(steps=PRINT_EVERY), CPU)
    for _ in clock.steps():
        clock.report("stage", torch.tensor(5.0 if clock.step == 1 else clock.step % 2 * 1.0))
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("step      1  loss 5.0000")
    # Of 99 losses, 50 were 0.
    assert last.endswith(f"step {PRINT_EVERY:6d}  loss {49 / 99:.4f}")


def test_a_training_that_diverged_stops() -> None:
    clock = Clock(Budget(steps=1), CPU)
    assert list(clock.steps()) == [0]
    with pytest.raises(FloatingPointError, match="nan at step 1"):
        clock.report("stage", torch.tensor(float("nan")))


def test_normalizing_latents_changes_no_picture() -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1).eval()
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        decoded = vae.decode(before.mode()).sample
        expected = normalize_latents(vae, before.mode())
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(after.mode(), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(vae.decode(after.mode()).sample, decoded, atol=1e-4, rtol=1e-3)
    assert after.mode().std((0, 2, 3)).tolist() == pytest.approx([1.0] * 4, abs=1e-3)


def test_nearest_finds_the_picture_despite_noise() -> None:
    known = torch.rand(5, 3, 64, 64)
    _, found = nearest(known[[3, 1]] + 0.01 * torch.randn(2, 3, 64, 64), known)
    assert found.tolist() == [3, 1]


def test_the_labels_of_the_evaluation_are_different_and_always_the_same() -> None:
    first = random_indices(160, 3374)
    assert len(set(first)) == 160
    assert first == random_indices(160, 3374)


def test_the_shipped_model_records_its_default_call_and_fits() -> None:
    assert json.loads((MODEL / "pixart_tui.json").read_text()) == DEFAULT_CALL
    files = [file for file in MODEL.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 32_000_000


def test_the_shipped_prompts_are_many_and_different() -> None:
    prompts = json.loads((ASSETS / "prompts.json").read_text(encoding="utf-8"))
    assert len(set(prompts["pixart-emoji"])) == len(prompts["pixart-emoji"]) >= 64
    assert len(set(prompts["default"])) == 16
