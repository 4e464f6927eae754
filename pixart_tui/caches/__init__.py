"""Caches for later runs: all of it can be made again. Imports ``runs``, ``machine``, ``domain``."""
