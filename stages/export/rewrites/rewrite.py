"""Applying the rewrites: the list of them in order, until none finds anything more."""

from dataclasses import dataclass

import onnx
from onnx import version_converter

from stages.core.graph.onnx_graph import Graph, used_names
from stages.export.layout.nodes import replace_nodes
from stages.export.rewrites.match import Match, Rewrite
from stages.export.rewrites.passes import (
    affine,
    clamps,
    einsum,
    gather,
    gelu,
    hard_sigmoid,
    layer_norm,
    pools,
    products,
    reductions,
    several,
    views,
)

__all__ = ["REWRITES", "rewrite"]


@dataclass(frozen=True)
class Pass:
    """A rewrite of some operators.

    Attributes:
        rewrite: the function.
        operators: of the nodes that it is asked about.
        opset: the first version of the standard that has what it writes.
        raises: whether a network of an older version is converted to it.
    """

    rewrite: Rewrite
    operators: frozenset[str]
    opset: int = 13
    raises: bool = False


REDUCTIONS = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"})
REWRITES = (
    Pass(gelu.gelu, frozenset({"Mul", "Div"}), 20),
    Pass(layer_norm.layer_norm, frozenset({"Add", "Mul", "Div"}), 17, raises=True),
    Pass(hard_sigmoid.hard_swish, frozenset({"Mul", "Div"})),
    Pass(hard_sigmoid.hard_sigmoid, frozenset({"Clip", "Mul", "Div"})),
    Pass(gather.gather, frozenset({"Gather"})),
    Pass(einsum.einsum, frozenset({"Einsum"})),
    Pass(products.mat_mul, frozenset({"MatMul"})),
    Pass(products.gemm, frozenset({"Gemm"})),
    Pass(products.conv_transpose, frozenset({"ConvTranspose"})),
    Pass(pools.average_pool, frozenset({"AveragePool"})),
    Pass(pools.max_pool, frozenset({"MaxPool"})),
    Pass(reductions.without_empty_axes, REDUCTIONS),
    Pass(reductions.sum_as_mean, frozenset({"ReduceSum"})),
    Pass(reductions.max_as_pool, frozenset({"ReduceMax"})),
    Pass(clamps.leaky_relu, frozenset({"Max"})),
    Pass(clamps.clip, frozenset({"Max", "Min"})),
    Pass(clamps.one_clip, frozenset({"Clip"})),
    Pass(affine.batch_norm, frozenset({"BatchNormalization"})),
    Pass(affine.power, frozenset({"Pow"})),
    Pass(affine.division, frozenset({"Div"})),
    Pass(affine.negation, frozenset({"Neg"})),
    Pass(affine.subtraction, frozenset({"Sub"})),
    Pass(several.several, frozenset({"Sum", "Mean"})),
    Pass(several.swish, frozenset({"Swish"})),
    Pass(views.one_view, frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})),
)
"""Larger forms come first: a node is written by the first that knows it."""
MAX_ROUNDS = 10


def rewrite(model: onnx.ModelProto) -> None:
    """Rewrite a network in place. Outputs keep their names, and nodes the names of those that they stand for.

    Args:
        model: of opset 13 or later, with static shapes, its constants initializers.
    """
    for _ in range(MAX_ROUNDS):
        if not _round(model):
            return


def _round(model: onnx.ModelProto) -> bool:
    """Ask every rewrite about every node once; gives whether anything changed."""
    graph, opset = Graph(model), _opset(model)
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.nodes:
        found, needed = _written(model, graph, node, opset)
        if needed > opset:
            if _raised(model, needed):
                return True
            found = None
        changed = changed or found is not None
        nodes.extend([node] if found is None else found)
    if changed:
        replace_nodes(model, _needed(nodes, graph))
        del model.graph.value_info[:]
    return changed


def _written(
    model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, opset: int
) -> tuple[list[onnx.NodeProto] | None, int]:
    """What the first rewrite that knows a node writes, and the opset that it needs."""
    for each in REWRITES:
        if node.op_type not in each.operators or (opset < each.opset and not each.raises):
            continue
        if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            continue
        before = len(model.graph.initializer)
        found = each.rewrite(Match(model, graph, node, opset))
        if found is not None:
            return found, each.opset
        del model.graph.initializer[before:]
    return None, 0


def _needed(nodes: list[onnx.NodeProto], graph: Graph) -> list[onnx.NodeProto]:
    """The nodes that the outputs follow from."""
    needed, kept = set(graph.outputs), list[onnx.NodeProto]()
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= used_names([node])
    return kept[::-1]


def _raised(model: onnx.ModelProto, opset: int) -> bool:
    """Convert a network to a later opset, in place; gives whether that could be done."""
    try:
        converted = version_converter.convert_version(model, opset)
    except Exception:  # the converter raises its own types, and lacks some operators
        return False
    model.CopyFrom(converted)
    return True


def _opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
