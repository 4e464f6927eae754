"""Choosing a quant type for each target: the options, their prediction, and the solvers."""
