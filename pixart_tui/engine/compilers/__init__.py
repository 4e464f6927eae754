"""Compilers: what each does to a pipeline, how far it has come. Imports ``fused``, ``memory``."""
