"""diffusers and transformers, imported so that they write to logs and not to the screen."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pixart_tui.engine.quant.notices  # noqa: F401

_LOG = logging.getLogger(__name__)


def _send_to_logs(library: str) -> None:
    # The null handler keeps Python from printing what no handler took.
    logging.getLogger(library).addHandler(logging.NullHandler())


for _library in ("diffusers", "transformers"):
    _send_to_logs(_library)

from diffusers.utils import logging as _diffusers_logging  # noqa: E402
from transformers.utils import logging as _transformers_logging  # noqa: E402

for _logging in (_diffusers_logging, _transformers_logging):
    _logging.disable_default_handler()
    _logging.enable_propagation()
    _logging.disable_progress_bar()

from diffusers import (  # noqa: E402
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from transformers import T5Config, T5EncoderModel, T5Tokenizer  # noqa: E402

__all__ = [
    "AutoencoderKL",
    "DPMSolverMultistepScheduler",
    "DiffusionPipeline",
    "PixArtAlphaPipeline",
    "PixArtSigmaPipeline",
    "PixArtTransformer2DModel",
    "T5Config",
    "T5EncoderModel",
    "T5Tokenizer",
    "warnings_to_log",
]


@contextmanager
def warnings_to_log() -> Iterator[None]:
    """Send Python warnings of the body to the log."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        _LOG.info("%s: %s", warning.category.__name__, warning.message)
