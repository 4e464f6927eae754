"""The formats of files that users keep, read and written as text. Imports ``selecting``."""
