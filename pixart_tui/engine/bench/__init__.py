"""Benchmarks: compilers, clocks, memory, and the measuring of one case in one process."""
