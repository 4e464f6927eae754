"""The commands; results on stdout, narration on stderr. Imports all but ``worker``."""

import gc
import os

# Imports are most of what a command does at first, and none of it ever becomes garbage.
gc.set_threshold(50_000)
# Looking for plugins, pydantic reads what every installed package says of itself.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
