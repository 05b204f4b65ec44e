"""The program for a board's neural unit, on Ingenic's Venus runtime: sources, Makefile, and what belongs to them."""
