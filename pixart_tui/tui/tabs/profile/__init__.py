"""One profile, live: progress and the layers ranked by sensitivity. Imports ``widgets``."""
