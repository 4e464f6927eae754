"""The commands; results on stdout, narration on stderr."""

import gc

# Imports are most of what a command does at first, and none of it ever becomes garbage.
gc.set_threshold(50_000)
