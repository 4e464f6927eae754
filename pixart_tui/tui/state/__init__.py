"""The dashboard's state at one moment, read from runs. Imports ``drawing.wording``."""
