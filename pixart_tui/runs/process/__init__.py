"""The worker as others see it: starting, stopping, its heartbeat. Imports the rest of ``runs``."""
