"""Calibration set -> statistics of every tensor, in one streaming pass."""
