"""What the worker of a run printed, while it prints and afterwards. Imports ``widgets``."""
