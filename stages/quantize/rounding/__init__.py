"""What pictures improve: ranges by output, bias correction, GPTQ, block reconstruction."""
