"""The run directory: its files, its journal, its state, and starting or stopping its worker."""
