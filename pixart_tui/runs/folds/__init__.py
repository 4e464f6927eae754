"""One fold over a journal for each kind of run. Imports ``domain``."""
