"""Networks of which only a part is quantized."""
