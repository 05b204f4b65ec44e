"""Scales and zero points from statistics."""
