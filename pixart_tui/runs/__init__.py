"""The run directory: files, journal, state, its worker. Imports ``reporting`` and ``domain``."""
