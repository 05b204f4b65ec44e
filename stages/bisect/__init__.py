"""Finding the few nodes whose quantization costs a network its similarity or accuracy."""
