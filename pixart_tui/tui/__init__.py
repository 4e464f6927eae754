"""The dashboard: reads runs, asks for runs, never imports torch. Imports ``runs`` and below."""
