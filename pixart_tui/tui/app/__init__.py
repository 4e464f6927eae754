"""The application: its keys, its messages, what they do to runs. Imports all of ``tui``."""
