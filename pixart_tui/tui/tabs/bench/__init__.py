"""One benchmark, live: the table of the seed. Imports ``widgets``."""
