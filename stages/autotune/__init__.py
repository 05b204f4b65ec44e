"""Mixed precision: the bit width of each feature and each weight, for a budget or a target."""
