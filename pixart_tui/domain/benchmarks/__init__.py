"""A benchmark's rows, its matrix and its warm-up. Imports ``deploying`` and ``files``."""
