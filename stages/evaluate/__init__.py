"""Accuracy of the float and the quantized network on labelled data."""
