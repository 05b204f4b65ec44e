"""The integer model: its rules in NumPy (the twin), and as a network that ONNX Runtime runs (the simulator)."""
