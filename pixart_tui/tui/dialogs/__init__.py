"""Screens that ask or tell something on top of a tab. Imports ``widgets`` and ``drawing``."""
