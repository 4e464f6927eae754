"""From measurements to scores: what was measured of a layer. Imports ``layers``."""
