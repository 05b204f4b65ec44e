"""Model source -> canonical float ONNX, checked against the source."""
