"""Everything that touches torch: loading, quantizing, measuring, timing."""
