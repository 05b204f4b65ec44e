"""Fitting to pictures: ranges by output, bias correction, GPTQ, block reconstruction."""
