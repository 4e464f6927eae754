"""Making images as OneDiff's script does: load, deploy, warm up, draw. Imports ``deployment``."""

from pixart_tui.engine.generation.generating import Drawn, generate

__all__ = ["Drawn", "generate"]
