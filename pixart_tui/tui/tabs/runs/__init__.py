"""The list of all runs. Imports ``widgets``."""
