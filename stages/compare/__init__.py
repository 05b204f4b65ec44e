"""Float against quantized, layer by layer: table, plot, report."""
