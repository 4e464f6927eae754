"""Lines, glyphs, inks and words that every tab draws with. Imports ``runs`` and ``domain``."""
