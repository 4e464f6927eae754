"""A selection for other libraries: each format's text and how to use it. Imports ``selecting``."""
