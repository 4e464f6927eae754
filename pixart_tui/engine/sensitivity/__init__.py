"""How much each layer's quantization changes the image. Imports ``quant`` and ``loading``."""

from pixart_tui.engine.sensitivity.profiling import BaselineImage, JointImage, profile_model

__all__ = ["BaselineImage", "JointImage", "profile_model"]
