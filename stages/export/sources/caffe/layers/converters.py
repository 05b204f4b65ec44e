"""Which converter takes which type of layer."""

from collections.abc import Mapping

from stages.export.sources.caffe.layers import activations, elementwise, moves, norms, pooling, resizes, ssd, weighted
from stages.export.sources.caffe.network import Converter

__all__ = ["CONVERTERS"]

CONVERTERS: Mapping[str, Converter] = {
    kind: converter
    for module in (activations, elementwise, moves, norms, pooling, resizes, ssd, weighted)
    for kind, converter in module.CONVERTERS.items()
}
"""Type in lower case without underscores -> its converter."""
