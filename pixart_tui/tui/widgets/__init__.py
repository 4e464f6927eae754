"""Widgets that every tab uses. Imports ``state``, ``terminal`` and ``drawing``."""
