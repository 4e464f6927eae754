"""One benchmark, live: the table of OneDiff's report. Imports ``widgets``."""
