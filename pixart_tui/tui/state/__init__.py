"""What the dashboard knows at one moment, read from runs. Imports ``drawing.wording``."""
