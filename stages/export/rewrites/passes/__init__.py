"""The rewrites, a module each: a function from a node to the nodes that stand for it."""
