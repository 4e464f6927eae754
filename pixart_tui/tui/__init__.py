"""The dashboard: it reads run directories, asks for runs, and never imports torch."""
