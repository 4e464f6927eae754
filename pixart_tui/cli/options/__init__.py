"""Options that several commands share, and their checks. Imports ``runs`` and ``domain``."""
