"""Triton kernels of the fused transformer; importing the modules here needs triton."""
