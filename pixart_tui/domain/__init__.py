"""Plain values and pure functions: no torch, no processes, no screens."""
