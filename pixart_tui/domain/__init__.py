"""Plain values and pure functions: no torch, no processes, no screens. Imports nothing of ours."""
