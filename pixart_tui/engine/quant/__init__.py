"""Quantizing linear layers: the reference numerics, their simulation, the real kernels."""
