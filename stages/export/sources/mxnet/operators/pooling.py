"""Pooling."""

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Operator
from stages.export.sources.pooling import Pool, add_pool, padding_at_end

__all__ = ["CONVERTERS"]


def _pooling(graph: GraphBuilder, operator: Operator) -> None:
    attributes = operator.attributes
    method = attributes.text("pool_type", "max")
    convention = attributes.text("pooling_convention", "valid")
    if method not in ("max", "avg") or convention not in ("valid", "full"):
        raise UserError(f"{operator.where}: pool_type {method} and convention {convention} have no ONNX form here")
    if attributes.text("layout", "None") not in ("None", "NCHW", "NCW"):
        raise UserError(f"{operator.where} has another layout: export the network with channels first, NCHW")
    average = method == "avg"
    value = operator.inputs[0]
    if attributes.flag("global_pool", False):
        graph.add("GlobalAveragePool" if average else "GlobalMaxPool", [value], operator.name, [operator.name])
        return
    kernel = attributes.integers("kernel")
    strides = attributes.integers("stride") or (1,) * len(kernel)
    pads = attributes.integers("pad") or (0,) * len(kernel)
    sizes = zip(graph.shapes[value][2:], kernel, strides, pads, strict=True)
    ends = [padding_at_end(*axis, clipped=False) for axis in sizes] if convention == "full" else pads
    counts = attributes.flag("count_include_pad", True)
    add_pool(graph, Pool(average, kernel, strides, pads, ends, counts), value, operator.name, [operator.name])


def _adaptive(graph: GraphBuilder, operator: Operator) -> None:
    """To a size, where that divides the feature's."""
    value = operator.inputs[0]
    wanted = operator.attributes.integers("output_size", (1, 1))
    wanted = wanted * 2 if len(wanted) == 1 else wanted
    sizes = graph.shapes[value][2:]
    if any(size % target for size, target in zip(sizes, wanted, strict=True)):
        raise UserError(f"{operator.where} pools {list(sizes)} to {list(wanted)}, which does not divide it")
    kernel = [size // target for size, target in zip(sizes, wanted, strict=True)]
    if wanted == (1, 1):
        graph.add("GlobalAveragePool", [value], operator.name, [operator.name])
        return
    graph.add("AveragePool", [value], operator.name, [operator.name], kernel_shape=kernel, strides=kernel)


CONVERTERS = {"Pooling": _pooling, "Pooling_v1": _pooling, "_contrib_AdaptiveAvgPooling2D": _adaptive}
