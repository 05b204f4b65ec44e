"""Our integers beside those of the real TPU-MLIR."""
