"""Compares a board's dumps of layers with the PC's, and says why they differ."""
