"""What a run leaves: pictures, profiles, effects as files. Imports ``runs`` and ``reporting``."""
