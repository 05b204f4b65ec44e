"""Statistics, bits and methods -> the quantized network."""
