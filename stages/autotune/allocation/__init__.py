"""Bit allocation as an integer program: the variables, what their bit widths cost and lose, and the solver."""
