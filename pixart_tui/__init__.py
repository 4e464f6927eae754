"""Which layers of a PixArt transformer may be quantized, and what that buys."""

__version__ = "0.1.0"
