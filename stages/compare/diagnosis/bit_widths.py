"""Nodes whose width is what the network suffers from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.compare.diagnosis.finding import Effect, Finding
from stages.core.config.overrides import list_override, skip_override
from stages.core.config.schema import QuantConfig
from stages.core.graph.onnx_graph import WEIGHTED, Graph
from stages.core.integer.qparams import CONSTANT, NetworkParams

__all__ = ["edge_nodes", "width_findings"]

FINE, POOR = 0.99, 0.98
"""Where the output has the first and a layer alone the second, or more, no width is to blame."""
SHARE = 0.25
"""A node dominates if it makes more than this part of all layers' errors, each alone quantized,"""
TIMES = 10.0
"""and so many times the error of the median layer of the usual widths."""
AUDIBLE = 1e-3  # error in parts of the signal (30 dB) that 8 bits seldom reach
EDGE_BITS = 8


@dataclass(frozen=True)
class _Width:
    """How wide a feature or a weight of a node is, and what is usual."""

    node: str
    what: str  # "features" or "weights"
    key: str  # of the node-bits file
    bits: int
    usual: int


def width_findings(
    graph: Graph, params: NetworkParams, rows: Sequence[Mapping[str, Any]], end: Mapping[str, Any], quant: QuantConfig
) -> list[Finding]:
    """Find nodes narrower than the rest whose error alone dominates, and edges that would deserve 8 bits.

    Args:
        graph: the float network.
        params: the widths.
        rows: the similarity table with the isolated errors; without them nothing is found.
        end: the output's row.
        quant: the settings.
    """
    if not rows or "isolated_sqnr" not in rows[0]:
        return []
    hurt = {row["node"] for row in rows if end["cosine_avg"] < FINE or row["isolated_cosine"] < POOR}
    noise = {row["node"]: float(10.0 ** (-row["isolated_sqnr"] / 10.0)) for row in rows}
    bit_widths = _bit_widths(params)
    narrow = {width.node for width in bit_widths if width.bits < width.usual}
    usual = [value for node, value in noise.items() if node not in narrow]
    median, total = float(np.median(usual)) if usual else 0.0, sum(noise.values())
    edges, found, named = edge_nodes(graph), list[Finding](), set[str]()
    for width in sorted(bit_widths, key=lambda width: (-noise.get(width.node, 0.0), width.bits)):
        error = noise.get(width.node, 0.0)
        dominates = error > max(SHARE * total, TIMES * median, AUDIBLE)
        edge_wanted = quant.edge_bits is None or quant.node_bits is not None  # an edge width of the user is on purpose
        at_edge = width.what == "weights" and width.node in edges and width.bits < EDGE_BITS and edge_wanted
        if not dominates or width.node not in hurt - named or not (width.bits < width.usual or at_edge):
            continue
        named.add(width.node)
        found.append(_finding(width, error / total, at_edge, rows, quant))
    return found


def _bit_widths(params: NetworkParams) -> list[_Width]:
    features = [entry for entry in params.features if entry.method != CONSTANT]
    of_features, of_weights = ([entry.bits for entry in entries] for entries in (features, params.weights))
    found = [_Width(e.node, "features", "QUANT_FEATURE_BIT", e.bits, _usual(of_features)) for e in features]
    return found + [_Width(e.node, "weights", "QUANT_WEIGHT_BIT", e.bits, _usual(of_weights)) for e in params.weights]


def _usual(bits: Sequence[int]) -> int:
    """The most common width, of equally common ones the widest."""
    return max(Counter(bits).items(), key=lambda pair: (pair[1], pair[0]))[0]


def _finding(
    width: _Width, share: float, at_edge: bool, rows: Sequence[Mapping[str, Any]], quant: QuantConfig
) -> Finding:
    row = next(row for row in rows if row["node"] == width.node)
    cosine = row["isolated_cosine"]
    others = f", the others {width.usual}" if width.bits < width.usual else ""
    sentence = (
        f"{width.node} makes {share:.0%} of all layers' errors: its {width.what} have {width.bits} bits{others}; alone "
        f"it has cosine {cosine:.4f}"
    )
    effect = None
    wanted = quant.feature_bits if width.what == "features" else quant.weight_bits
    if at_edge:
        wanted = max(wanted, quant.edge_bits or 0)
    ignored = [*quant.node_bits_ignore, width.node]
    if quant.node_bits and width.bits < wanted and width.node not in quant.node_bits_ignore:
        cure = list_override("quant.node_bits_ignore", ignored)
        sentence += f". That is the width of {quant.node_bits}; ignore it for this layer, or raise {width.key} there"
    elif at_edge and quant.edge_bits is None:
        cure = f"quant.edge_bits={EDGE_BITS}"
    else:
        cure = skip_override([*quant.skip_nodes, width.node])
        effect = Effect("isolated cosine", cosine, 1.0)
    evidence = {
        "bits": width.bits, "usual_bits": width.usual, "of": width.what, "share_of_errors": share,
        "isolated_cosine": cosine, "isolated_sqnr": row["isolated_sqnr"],
    }  # fmt: skip
    return Finding("width", width.node, sentence, evidence, cure, effect)


def edge_nodes(graph: Graph) -> set[str]:
    """The weighted layers that no other lies before, or none behind."""
    return _first(graph, graph.nodes, lambda node: node.input, lambda node: node.output) | _first(
        graph, graph.nodes[::-1], lambda node: node.output, lambda node: node.input
    )


def _first(graph: Graph, nodes: Sequence[Any], entries: Any, exits: Any) -> set[str]:
    """Weighted layers that nothing weighted leads to, walking the nodes in that order."""
    found: set[str] = set()
    behind: set[str] = set()
    for node in nodes:
        weighted = node.op_type in WEIGHTED and node.input[1] in graph.constants
        reached = not behind.isdisjoint(entries(node))
        if weighted and not reached:
            found.add(node.name)
        if weighted or reached:
            behind.update(name for name in exits(node) if name not in graph.constants)
    return found
