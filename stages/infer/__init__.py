"""Runs the quantized network on pictures."""
