"""Other toolkits on the same network and pictures, for `benchmarks.accuracy --peers`."""
