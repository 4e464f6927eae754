"""The process that does the work: the engine plus a journal. Imports ``engine``, ``caches``."""
