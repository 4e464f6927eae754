"""Widgets that every tab uses."""
