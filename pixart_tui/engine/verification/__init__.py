"""Selections measured as a whole, and how single layers' errors meet. Imports ``sensitivity``."""
