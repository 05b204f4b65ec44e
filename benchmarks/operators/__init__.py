"""Which ONNX operators run where: the node tests of the onnx package, through export and placement."""
