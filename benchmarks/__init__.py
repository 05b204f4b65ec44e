"""Side-by-side measurements: ratios and peak memory, never absolute times to pass or fail by."""
