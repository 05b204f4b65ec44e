"""A closer look at what layers make: the histogram and the channels' ranges of every picture, and pairs of values.

Which layers are the worst is known when the last picture has run, so all are looked at, in constant memory: bins,
channels and a fixed number of pairs a tensor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.networks import along_channels
from stages.compare.similarity import Compared, Row
from stages.core.integer.model import inner_tensors
from stages.core.integer.qparams import SHARED, NetworkParams
from stages.core.statistics.histogram import TensorCollector
from stages.core.statistics.metrics import SQNR_CAP
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["PAIRS", "CloseUp", "Closer", "enclosing_layers", "layer_tensors", "layers_to_show", "worst_layers"]

PAIRS = 2048
"""Pairs of values a tensor, over all pictures."""
GOLDEN = (5**0.5 - 1) / 2  # multiples of it, less their whole part, fill 0..1 evenly and in step with no image's width

Array = NDArray[np.float32]


@dataclass(frozen=True)
class CloseUp:
    """A tensor on the debug pictures, in the units of its codes.

    Attributes:
        statistics: of the float network's values, all of them.
        reference: float32 [PAIRS], some of them.
        quantized: float32 [PAIRS], what the integer model makes of those, all layers before quantized too.
    """

    statistics: TensorStatistics
    reference: Array
    quantized: Array


class Closer:
    """Takes in pictures one by one.

    Args:
        tensors: which to look at.
        factors: of equalization, by which values are divided: tensor -> one a channel.
        pictures: how many there will be; each gives its share of the pairs.
    """

    def __init__(self, tensors: Iterable[str], factors: Mapping[str, Sequence[float]], pictures: int) -> None:
        self._collectors = {name: TensorCollector() for name in tensors}
        self._pairs = {name: np.zeros((2, PAIRS), np.float32) for name in self._collectors}
        self._factors, self._pictures, self._seen = factors, pictures, 0

    def add(self, compared: Compared) -> None:
        """Take in one picture."""
        places = np.arange(*(PAIRS * (self._seen + step) // self._pictures for step in (0, 1)))
        for name, collector in self._collectors.items():
            values = [side[name] for side in (compared.expected, compared.actual)]
            if not values[0].size:
                continue
            if name in self._factors:
                values = [side / along_channels(self._factors[name], side.ndim) for side in values]
            collector.add(values[0])
            chosen = (places * GOLDEN % 1.0 * values[0].size).astype(np.int64)
            for pairs, side in zip(self._pairs[name], values, strict=True):
                pairs[places] = side.reshape(-1)[chosen]
        self._seen += 1

    def of(self, tensor: str) -> CloseUp:
        """What was seen of a tensor that was not empty."""
        return CloseUp(self._collectors[tensor].finish(), *self._pairs[tensor])


def layer_tensors(tensors: Iterable[str], integer: onnx.ModelProto, params: NetworkParams) -> list[str]:
    """Those tensors that are made by layers: not inside a fused layer, and not codes passed on as they are."""
    shared = {entry.tensor for entry in params.features if entry.method == SHARED}
    left_out = shared | inner_tensors(integer.graph.node)
    return [name for name in tensors if name not in left_out]


def enclosing_layers(integer: onnx.ModelProto) -> dict[str, str]:
    """Tensors inside fused layers -> what the layer makes."""
    return {name: node.output[0] for node in integer.graph.node for name in inner_tensors([node])}


def worst_layers(rows: Mapping[str, Row], count: int) -> list[str]:
    """Choose the tensors of the layers that hurt: least isolated SQNR, or where that is not known least cosine.

    Args:
        rows: of the similarity table, by the tensors of layers.
        count: at most so many; what has no error is not among them.

    Returns:
        Tensors, worst first.
    """

    def error(row: Mapping[str, Any]) -> tuple[float, bool]:
        if "isolated_sqnr" in row:
            return row["isolated_sqnr"], row["isolated_sqnr"] < SQNR_CAP
        return row["cosine_avg"], row["max_absolute"] > 0.0

    hurting = [name for name, row in rows.items() if error(row)[1]]
    return sorted(hurting, key=lambda name: error(rows[name])[0])[:count]


def layers_to_show(
    rows: Mapping[str, Row], layers: Sequence[str], named: Sequence[str], enclosing: Mapping[str, str], count: int
) -> dict[str, str]:
    """Choose what the report shows closely: the layers of named nodes, then the worst.

    Args:
        rows: of the similarity table, by tensor.
        layers: the tensors of layers.
        named: nodes; those that are in no layer are passed over.
        enclosing: tensors inside fused layers -> what the layer makes.
        count: at most so many.

    Returns:
        Tensor -> the node that it stands for: the one that was named, or the layer's own.
    """
    by_node = {row["node"]: tensor for tensor, row in rows.items()}
    tensors = {node: by_node[node] for node in named if node in by_node}
    chosen = {enclosing.get(tensor, tensor): node for node, tensor in tensors.items()}
    for tensor in worst_layers({name: rows[name] for name in layers}, count):
        chosen.setdefault(tensor, rows[tensor]["node"])
    return dict([pair for pair in chosen.items() if pair[0] in layers][:count])
