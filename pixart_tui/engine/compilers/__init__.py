"""Compilers: what each does to a pipeline, and how far it has come."""
