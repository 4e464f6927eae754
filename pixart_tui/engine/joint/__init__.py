"""Selections measured as a whole, and how the errors of single layers meet in an image."""
