"""Quantizing linear layers: reference numerics, simulation, real kernels. Imports ``kernels``."""
