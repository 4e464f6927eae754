"""The kinds of work: each puts what the engine finds into journal and files. Imports ``bench``."""
