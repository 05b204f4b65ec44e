"""The open T41 compiler's own arithmetic and answers beside this project's: `python -m benchmarks.pluto`."""
