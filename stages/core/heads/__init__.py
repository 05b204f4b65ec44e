"""Detectors' heads: found in a graph, cut off, and decoded in float."""
