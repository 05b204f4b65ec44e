"""Detectors: recognized heads, mean average precision beside an independent decoding, a planted fault, time."""
