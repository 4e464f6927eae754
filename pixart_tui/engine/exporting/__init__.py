"""A selection in the words of torchao and diffusers, and checkpoints. Imports ``quant``."""
