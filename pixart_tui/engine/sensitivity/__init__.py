"""How much each layer's quantization changes the image."""

from pixart_tui.domain.fast_progress import FastProgress
from pixart_tui.engine.sensitivity.profiling import BaselineImage, profile_model

__all__ = ["BaselineImage", "FastProgress", "profile_model"]
