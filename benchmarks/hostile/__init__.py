"""Hostile and unlucky inputs: damaged files, wrong words, bad moments, given to the real commands."""
