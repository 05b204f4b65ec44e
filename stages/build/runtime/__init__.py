"""The quantized network for the reference runtime in C++ (src/): a model file, its memory planned, and the sources."""
