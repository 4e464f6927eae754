"""A campaign that breaks things on purpose: kills, full disks, damaged files, hostile input."""
