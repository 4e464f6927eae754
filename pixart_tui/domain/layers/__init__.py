"""Targets of quantization: layers, quant types, roles, steps. Imports no other room."""
