from __future__ import annotations

import pytest
import torch

from pixart_tui.engine.loading import LoadedPipeline, load_pipeline


@pytest.fixture
def tiny() -> LoadedPipeline:
    return load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
