"""Lines, glyphs, styles and words that every tab draws with. Imports ``runs`` and ``domain``."""
