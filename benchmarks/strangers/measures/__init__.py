"""Task measures: what a network is for, counted on the outputs of the float and the quantized network."""
