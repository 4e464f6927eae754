"""A benchmark's child processes, and rows of what they find. Imports ``engine`` and ``runs``."""
