"""Shows the output of a run's worker, live and afterwards. Imports ``widgets``."""
