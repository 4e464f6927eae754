"""Measurements that stay: each writes a JSON with its machine and versions."""
