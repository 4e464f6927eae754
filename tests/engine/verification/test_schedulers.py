"""Selections measured on models whose schedulers add noise or call the transformer more often."""

from __future__ import annotations

import diffusers
import pytest
import torch

from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.selecting.verification import ImageSet
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from tests.engine.verification.probes import probe

_FP8 = {"transformer_blocks.0.attn1.to_q": "fp8_e4m3_e4m3_dynamic"}


def _loaded(kind: str) -> LoadedPipeline:
    device = torch.device("cpu")
    loaded = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=device)
    config = loaded.pipeline.scheduler.config
    loaded.pipeline.scheduler = getattr(diffusers, kind).from_config(config)
    return loaded


def test_kept_steps_are_calls() -> None:
    images = ImageSet(prompts=("owl",), seeds=(1,))
    made = probe(_loaded("HeunDiscreteScheduler"), images, steps=2)
    (inner,) = made.losses(_FP8, images, KeptSteps(first=1, last=1))
    (every,) = made.losses(_FP8, images, KeptSteps(first=2, last=1))
    assert inner > 0
    assert every == 0


def test_a_sample_does_not_depend_on_its_set() -> None:
    alone = ImageSet(prompts=("owl",), seeds=(1,))
    more = ImageSet(prompts=("snow", "a fox", "owl"), seeds=(1,))
    loaded = _loaded("EulerAncestralDiscreteScheduler")
    made = probe(loaded, more, steps=2)
    assert made.losses(_FP8, more)[2] == pytest.approx(made.losses(_FP8, alone)[0], rel=0.05)
