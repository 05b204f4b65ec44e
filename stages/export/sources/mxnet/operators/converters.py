"""Which converter takes which operator."""

from collections.abc import Mapping

from stages.export.sources.mxnet.operators import elementwise, functions, moves, norms, pooling, reductions, weighted
from stages.export.sources.mxnet.symbol import Converter

__all__ = ["CONVERTERS", "COUNTED_INPUTS"]

CONVERTERS: Mapping[str, Converter] = {
    kind: converter
    for module in (elementwise, functions, moves, norms, pooling, reductions, weighted)
    for kind, converter in module.CONVERTERS.items()
}
"""Type as the symbol writes it -> its converter."""

COUNTED_INPUTS: Mapping[str, int] = dict.fromkeys(functions.OUTPUTS, 1)
"""Type -> how many of its inputs count when the network is used: labels do not."""
