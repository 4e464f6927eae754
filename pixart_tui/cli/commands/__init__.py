"""The commands, one module each. Imports ``options`` and ``display``."""
