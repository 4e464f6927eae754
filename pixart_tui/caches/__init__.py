"""What can be made again, kept for the next run. Imports ``runs``, ``machine``, ``domain``."""
