"""The program for a board's NPU, on Ingenic's Venus runtime: sources, Makefile, and what belongs to them."""
