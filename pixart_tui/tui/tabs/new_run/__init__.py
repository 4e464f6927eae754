"""Starting a run from a form, which is a command line in other clothes. Imports ``widgets``."""
