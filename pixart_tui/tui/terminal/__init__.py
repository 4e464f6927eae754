"""Sends frames and pictures to the terminal, and reads its answers. Imports ``drawing``."""
