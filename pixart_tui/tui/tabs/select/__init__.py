"""Which layers to quantize: a rule, its parameter, and the outcome. Imports ``widgets``."""
