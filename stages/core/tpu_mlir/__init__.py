"""Sophgo's compiler TPU-MLIR: its files, its tools, and what they say."""
