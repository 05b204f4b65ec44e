"""Quantized sources, read back as the float networks that they mean, with the ranges of their quantizers.

`undo.dequantized` is the entry. A rewriter walks the nodes in order and keeps, for every tensor of codes, the name of
the float tensor that it stands for; each operator of `qdq`, `qlinear` and `dynamic` is a rule.
"""
