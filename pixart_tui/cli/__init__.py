"""The commands; results on stdout, narration on stderr."""

import gc

# A command begins with a tenth of a second of imports, of which nothing ever becomes garbage.
gc.set_threshold(50_000)
