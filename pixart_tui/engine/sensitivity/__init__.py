"""How much each layer's quantization changes the image."""

from pixart_tui.engine.sensitivity.exhaustive import BaselineImage, profile_model

__all__ = ["BaselineImage", "profile_model"]
