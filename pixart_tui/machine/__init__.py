"""Describes the machine without torch. Imports ``domain``."""
