"""Making images as OneDiff's ``text_to_image.py`` does: load, deploy, warm up, draw, time."""

from pixart_tui.engine.generation.generating import Drawn, generate

__all__ = ["Drawn", "generate"]
