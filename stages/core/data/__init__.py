"""Samples: which files make them up, how they are decoded and stored, and their labels."""
