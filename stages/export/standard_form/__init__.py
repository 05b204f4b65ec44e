"""ONNX of any age in one form: constants as initializers, functions inlined, operators of opset 7 or later."""
