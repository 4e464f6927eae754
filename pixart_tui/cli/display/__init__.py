"""How a command shows a run: dashboard, progress, JSON lines. Imports ``options`` and ``tui``."""
