"""What becomes of a network on each SOC, told from its graph alone."""
