"""All that touches torch: loading, quantizing, measuring. Imports ``machine``, ``domain``."""
