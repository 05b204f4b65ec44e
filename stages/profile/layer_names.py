"""What the layers of a log do: by the network's own counts where the names agree, else by the log's shapes."""

import math
import re
from collections.abc import Iterable, Sequence

from stages.core.cost import MACS_PER_GMAC, LayerWork
from stages.core.graph.onnx_graph import Graph
from stages.profile.board_log import LayerRow
from stages.quantize.partition.layer_work import folded
from stages.quantize.partition.layers import Layer

__all__ = ["LayerNames", "row_work"]

GOPS_ROUNDING = 0.00051  # the log's GOPs have three digits
DUMP_SUFFIX = "_Quantize"  # what the vendor's dumps append to a layer's name


class LayerNames:
    """Finds a network's layers by the names that the vendor's converter gives them.

    A converter names a layer after a node or a tensor, with or without a suffix, and may write other characters for
    those that its formats lack. A spelling that fits two layers is none. An activation inside a weighted layer stands
    for that layer: the board runs both as one, under either name.
    """

    def __init__(self, graph: Graph, layers: Sequence[Layer], works: Sequence[LayerWork]) -> None:
        by_name, inside = {work.node: work for work in works}, folded(graph, layers)
        self._works = {name: by_name[inside.get(name, name)] for name in by_name}
        outputs = {layer.name: [name for node in layer.nodes for name in node.output if name] for layer in layers}
        self._exact = _index((name, layer.name) for layer in layers for name in (*layer.names, *outputs[layer.name]))
        self._loose = _index((_plain(name), node) for name, node in self._exact.items())

    def find(self, name: str) -> LayerWork | None:
        """The layer of a name; None if there is none."""
        for spelled in (name, name.removesuffix(DUMP_SUFFIX)):
            node = self._exact.get(spelled) or self._loose.get(_plain(spelled))
            if node is not None:
                return self._works[node]
        return None


def row_work(row: LayerRow) -> LayerWork:
    """Count what a layer does by its row: channels as the board pads them.

    Multiplications follow from the shapes; where the row's GOPs differ (a transposed convolution), from those.
    """
    macs = math.prod(row.output[:-1]) * math.prod(row.filter) if row.filter else 0
    if row.filter and row.gops is not None:
        difference = abs(2 * macs / MACS_PER_GMAC - row.gops)
        if difference > GOPS_ROUNDING + row.gops / 100:
            macs = round(row.gops * MACS_PER_GMAC / 2)
    inputs = sum(math.prod(shape) for shape in row.inputs)
    outputs = math.prod(row.output) if row.output else 0
    return LayerWork(row.name, row.operator, macs, inputs, outputs, math.prod(row.filter) if row.filter else 0)


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Spelling -> layer, those of one layer only."""
    layers: dict[str, set[str]] = {}
    for spelling, node in pairs:
        layers.setdefault(spelling, set()).add(node)
    return {spelling: next(iter(nodes)) for spelling, nodes in layers.items() if len(nodes) == 1}


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")
