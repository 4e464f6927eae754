"""What goes to the terminal of each frame and picture, and what it answers. Imports ``drawing``."""
