"""Nodes whose bit width is what the network suffers from."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import POOR, Similarity
from stages.core.config.overrides import list_override, skip_override
from stages.core.config.schema import QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.operators import WEIGHTED

__all__ = ["bit_width_findings", "first_and_last"]

FINE = 0.99
"""Where the output has this cosine and a layer alone `POOR`, or more, no bit width is to blame."""
MIN_ERROR_SHARE = 0.25
"""A node dominates if it makes more than this part of all layers' errors, each alone quantized,"""
MIN_TIMES_MEDIAN = 10.0
"""and so many times the error of the median layer of the usual bit widths,"""
MIN_ERROR = 1e-3
"""and more than this in parts of the signal: 30 dB, which 8 bits seldom reach."""
OUTER_BITS = 8  # that the first and last layers deserve


@dataclass(frozen=True)
class _BitWidth:
    """The bits of a node's feature or weight, and how many are usual."""

    node: str
    side: str  # "features" or "weights"
    key: str  # of the node-bits file
    bits: int
    usual: int

    @property
    def is_narrow(self) -> bool:
        return self.bits < self.usual


def bit_width_findings(
    graph: Graph, params: NetworkParams, similarity: Similarity, quant: QuantConfig
) -> list[Finding]:
    """Find nodes narrower than the rest whose error alone dominates, and first or last layers that deserve 8 bits.

    Args:
        graph: the float network.
        params: the bit widths.
        similarity: the table; without the isolated errors nothing is found.
        quant: the settings.
    """
    if not similarity.has_sources:
        return []
    rows = {row["node"]: row for row in similarity.rows}
    fine = similarity.output["cosine_avg"] >= FINE
    hurt = {node for node, row in rows.items() if not fine or row["isolated_cosine"] < POOR}
    errors = {node: float(10.0 ** (-row["isolated_sqnr"] / 10.0)) for node, row in rows.items()}
    bit_widths = _bit_widths(params)
    narrow = {width.node for width in bit_widths if width.is_narrow}
    usual = [error for node, error in errors.items() if node not in narrow]
    median, total = float(np.median(usual)) if usual else 0.0, sum(errors.values())
    dominant = max(MIN_ERROR_SHARE * total, MIN_TIMES_MEDIAN * median, MIN_ERROR)
    outer = _outer_weights(graph, quant)
    findings: dict[str, Finding] = {}
    for width in sorted(bit_widths, key=lambda width: (-errors.get(width.node, 0.0), width.bits)):
        error = errors.get(width.node, 0.0)
        if error <= dominant or width.node not in hurt - findings.keys():
            continue
        is_outer = width.side == "weights" and width.node in outer and width.bits < OUTER_BITS
        if width.is_narrow or is_outer:
            findings[width.node] = _finding(width, error / total, is_outer, rows[width.node], quant)
    return list(findings.values())


def _bit_widths(params: NetworkParams) -> list[_BitWidth]:
    features = [(f.node, f.bits) for f in params.features if not f.method.is_constant]
    weights = [(weight.node, weight.bits) for weight in params.weights]
    return [
        _BitWidth(node, side, key, bits, _usual(nodes))
        for side, key, nodes in (
            ("features", "QUANT_FEATURE_BIT", features),
            ("weights", "QUANT_WEIGHT_BIT", weights),
        )
        for node, bits in nodes
    ]


def _usual(nodes: Sequence[tuple[str, int]]) -> int:
    """The most common bit width, of equally common ones the widest."""
    return max(Counter(bits for _, bits in nodes).items(), key=lambda pair: (pair[1], pair[0]))[0]


def _outer_weights(graph: Graph, quant: QuantConfig) -> set[str]:
    """First and last layers, unless the user gave them a width on purpose."""
    return first_and_last(graph) if quant.edge_bits is None or quant.node_bits is not None else set()


def _finding(width: _BitWidth, share: float, is_outer: bool, row: Row, quant: QuantConfig) -> Finding:
    cosine = row["isolated_cosine"]
    others = f", the others {width.usual}" if width.is_narrow else ""
    sentence = (
        f"{width.node} makes {share:.0%} of all layers' errors: its {width.side} have {width.bits} bits{others}; alone "
        f"it has cosine {cosine:.4f}"
    )
    wanted = quant.feature_bits if width.side == "features" else quant.weight_bits
    if is_outer:
        wanted = max(wanted, quant.edge_bits or 0)
    if quant.node_bits and width.bits < wanted and width.node not in quant.node_bits_ignore:
        cure = list_override("quant.node_bits_ignore", [*quant.node_bits_ignore, width.node])
        sentence += (
            f". That is the bit width of {quant.node_bits}; ignore it for this layer, or raise {width.key} there"
        )
    elif is_outer and quant.edge_bits is None:
        cure = f"quant.edge_bits={OUTER_BITS}"
    else:
        cure = skip_override([*quant.skip_nodes, width.node])
    evidence = {
        "bits": width.bits, "usual_bits": width.usual, "of": width.side, "share_of_errors": share,
        "isolated_cosine": cosine, "isolated_sqnr": row["isolated_sqnr"],
    }  # fmt: skip
    return Finding("bit_width", width.node, sentence, evidence, cure)


def first_and_last(graph: Graph) -> set[str]:
    """The weighted layers that no other lies before, or none behind."""
    first = _first(graph, graph.nodes, lambda node: node.input, lambda node: node.output)
    return first | _first(graph, graph.nodes[::-1], lambda node: node.output, lambda node: node.input)


Ends = Callable[[onnx.NodeProto], Iterable[str]]


def _first(graph: Graph, nodes: Sequence[onnx.NodeProto], near: Ends, far: Ends) -> set[str]:
    """Weighted layers that nothing weighted leads to, walking the nodes in that order.

    Args:
        graph: of the nodes.
        nodes: all, from one end of the graph to the other.
        near: the tensors by which the walk comes to a node.
        far: those by which it leaves it.
    """
    first: set[str] = set()
    behind: set[str] = set()
    for node in nodes:
        weighted = node.op_type in WEIGHTED and node.input[1] in graph.constants
        reached = not behind.isdisjoint(near(node))
        if weighted and not reached:
            first.add(node.name)
        if weighted or reached:
            behind.update(name for name in far(node) if name not in graph.constants)
    return first
