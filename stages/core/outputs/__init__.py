"""A network's outputs: what they are, their parts, and how far a quantized network's are from the float network's."""
