"""Measuring one case in one process: calls, clocks, memory. Imports ``loading``."""
