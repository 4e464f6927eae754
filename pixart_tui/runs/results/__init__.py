"""A run's results as files: pictures, profiles, effects. Imports ``runs`` and ``reporting``."""
