"""Triton kernels of the fused transformer; they need triton. Imports no other room."""
