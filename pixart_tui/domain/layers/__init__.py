"""What can be quantized and to what: layers, quant types, roles, steps. Imports no other room."""
