"""Scoring quantized networks on real pictures: outputs, labels, metrics."""
