"""What depthwise convolutions over 3x3 cost on the T41's open runtime, which has none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stages.core.base.console import counted
from stages.core.cost import MACS_PER_GMAC, LayerWork
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.layers import Layer
from stages.scan.costs import LayerCosts
from stages.scan.placements import Placement
from stages.scan.routes import RouteRefusal

__all__ = ["LargeDepthwise", "depthwise_line", "large_depthwise"]

SIDE = 3
"""Rows and columns of the runtime's depthwise kernel."""


@dataclass(frozen=True)
class LargeDepthwise:
    """A depthwise convolution that the runtime refuses for its kernel, and two ways around it.

    Attributes:
        node: its name.
        kernel: rows and columns.
        stacked: 3x3 depthwise convolutions in a row that see as far.
        milliseconds: that the layer itself would take by the SOC's times; None where none are known.
        stacked_milliseconds: that those would take.
        dense_macs: multiplications as a dense convolution with zeros outside the groups, which computes the same.
    """

    node: str
    kernel: tuple[int, int]
    stacked: int
    milliseconds: float | None
    stacked_milliseconds: float | None
    dense_macs: int

    def __str__(self) -> str:
        """What it is, and what would take its place."""
        rows, columns = self.kernel
        return f"{self.node}: depthwise {rows}x{columns}, as {self.stacked} of {SIDE}x{SIDE} in a row"


def depthwise_line(found: Sequence[LargeDepthwise]) -> str:
    """Say what all of them cost together; empty where there are none."""
    if not found:
        return ""
    own, stacked = ([getattr(each, key) for each in found] for key in ("milliseconds", "stacked_milliseconds"))
    times = "time unknown" if None in own else f"{sum(own):.3g} ms -> {sum(stacked):.3g} ms"
    kernels = ", ".join(sorted({f"{each.kernel[0]}x{each.kernel[1]}" for each in found}))
    macs = sum(each.dense_macs for each in found) / MACS_PER_GMAC
    return (
        f"open T41 runtime: {counted(len(found), 'depthwise convolution')} of {kernels}: it has {SIDE}x{SIDE} only. "
        f"Several of {SIDE}x{SIDE} in a row see as far, to be trained anew: {times}. Dense weights with zeros compute "
        f"the same: {macs:.3g} GMAC; over more than 32 channels the processor runs them, and no source times that"
    )


def large_depthwise(placement: Placement, costs: LayerCosts, refusals: Iterable[RouteRefusal]) -> list[LargeDepthwise]:
    """Find the refused depthwise convolutions, and what would take their place.

    Args:
        placement: the layers on the SOC.
        costs: what they cost there.
        refusals: of the open runtime.
    """
    refused, graph = {each.node for each in refusals}, placement.graph
    return [
        _around(graph, layer, work, costs)
        for layer, work in zip(placement.setup.layers, placement.works, strict=True)
        if layer.first.name in refused and _too_large(graph, layer)
    ]


def _kernel(graph: Graph, layer: Layer) -> Sequence[int]:
    return list(graph.constants[layer.first.input[1]].dims)[2:]


def _too_large(graph: Graph, layer: Layer) -> bool:
    return layer.kind == "DepthwiseConv" and len(kernel := _kernel(graph, layer)) == 2 and max(kernel) > SIDE


def _around(graph: Graph, layer: Layer, work: LayerWork, costs: LayerCosts) -> LargeDepthwise:
    rows, columns = _kernel(graph, layer)
    stacked = -(-(max(rows, columns) - 1) // (SIDE - 1))
    part = SIDE * SIDE / (rows * columns)
    first = replace(work, macs=round(work.macs * part), weights=round(work.weights * part))
    following = replace(first, inputs=first.outputs)
    timed = costs.milliseconds is not None
    return LargeDepthwise(
        layer.name,
        (rows, columns),
        stacked,
        costs.time(layer, work) if timed else None,
        costs.time(layer, first) + (stacked - 1) * costs.time(layer, following) if timed else None,
        work.macs * graph.shapes[layer.first.input[0]][1],
    )
