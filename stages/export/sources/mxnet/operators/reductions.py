"""Sums, means and extremes over axes."""

from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Converter, Operator

__all__ = ["CONVERTERS"]


def _reduction(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, operator: Operator) -> None:
        attributes = operator.attributes
        rank = len(graph.shapes[operator.inputs[0]])
        axes = {axis % rank for axis in attributes.integers("axis")}
        if attributes.flag("exclude", False):
            axes = set(range(rank)) - axes
        settings = {"keepdims": int(attributes.flag("keepdims", False))}
        chosen = sorted(axes) or list(range(rank))
        if op_type == "ReduceSum":
            inputs = [operator.inputs[0], graph.constant(f"{operator.name}/axes", chosen)]
            graph.add(op_type, inputs, operator.name, [operator.name], **settings)
        else:
            graph.add(op_type, operator.inputs, operator.name, [operator.name], axes=chosen, **settings)

    return convert


CONVERTERS: dict[str, Converter] = {
    "max": _reduction("ReduceMax"),
    "max_axis": _reduction("ReduceMax"),
    "mean": _reduction("ReduceMean"),
    "min": _reduction("ReduceMin"),
    "min_axis": _reduction("ReduceMin"),
    "prod": _reduction("ReduceProd"),
    "sum": _reduction("ReduceSum"),
    "sum_axis": _reduction("ReduceSum"),
}
