"""ONNX graphs: a view by tensor name, and running them in ONNX Runtime."""
