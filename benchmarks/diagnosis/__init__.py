"""Planted faults: whether compare names them, and whether its cures help."""
