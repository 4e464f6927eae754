"""What the machine is and can do, found out without torch. Imports ``domain``."""
