"""Crush in Python: a terminal coding agent whose front ends share one local server."""

__version__ = "0.1.0"
