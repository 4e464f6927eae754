"""The tab with pictures: unquantized, quantized, and what differs. Imports ``widgets``."""
