"""Block reconstruction: learning roundings, biases and scales one block at a time. Needs the extra `torch`."""

from stages.quantize.rounding.reconstruct.learn import learn_block

__all__ = ["learn_block"]
