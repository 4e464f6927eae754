"""The tabs, and the form that starts a run. Imports ``widgets``, ``state`` and ``drawing``."""
