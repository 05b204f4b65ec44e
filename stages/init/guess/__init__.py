"""Guesses of what a network wants, each with its evidence and how sure it is."""
