"""A reader for each format of networks: files -> an ONNX model that computes the same."""
