"""The integer model: its rules in NumPy (the reference), and as a network that ONNX Runtime runs (the simulator)."""
