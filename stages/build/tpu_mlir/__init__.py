"""The folder for Sophgo's TPU-MLIR."""
