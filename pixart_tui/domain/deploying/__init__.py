"""How a pipeline is made to run: compilers, memory, layers. Imports ``layers``."""
