"""How a command shows a run: the dashboard, plain progress, JSON lines, or nothing."""
