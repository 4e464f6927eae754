"""Choosing a quant type for each target: options, prediction, solvers. Imports ``profiles``."""
