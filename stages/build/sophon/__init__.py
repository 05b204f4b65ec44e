"""The program for Sophgo's boards: a compiled network on a picture."""
