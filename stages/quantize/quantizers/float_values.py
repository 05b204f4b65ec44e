"""Where layers in float get float values: whose output exists in float, and who takes it so."""

from collections.abc import Collection, Mapping

from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.moves import MOVES
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer

__all__ = ["FloatValues"]

READ_NO_VALUES = frozenset({"Shape", "Size"})
"""ONNX operators that read how large a tensor is, not what is in it."""


class FloatValues:
    """The layers that run in float, and the tensors that they take in float.

    A layer in float takes a tensor's float values wherever they exist: of a network input, of a constant, of the output
    of a layer in float, and, on a SOC with float outputs, of the output of a weighted layer. On such a SOC a layer that
    only moves values runs in float too if its input exists in float and all its consumers run in float.

    Args:
        network: its layers.
        soc: whether weighted layers return float.
        reasons: layers that cannot or shall not run in integers -> the reason.
        float_tensors: tensors that have no codes, whatever is around them.

    Attributes:
        reasons: the same, with the layers that only move float values.
    """

    def __init__(
        self, network: LayerGraph, soc: SocConfig, reasons: Mapping[str, str], float_tensors: Collection[str]
    ) -> None:
        self._network, self._graph, self._soc = network, network.graph, soc
        self.reasons = dict(reasons)
        self._in_float = set(reasons)
        for layer in network.layers:
            outputs = [] if soc.float_outputs and layer.weighted(self._graph) else layer.nodes[-1].output
            if any(name in float_tensors for name in (*layer.operands(self._graph), *outputs)):
                self._in_float.add(layer.name)
        if soc.float_outputs:
            self._keep_moves_in_float()

    def runs_in_float(self, layer: Layer) -> bool:
        """Whether a layer runs in float by a reason, or since its input or output has no codes."""
        return layer.name in self._in_float

    def leaves_in_float(self, tensor: str) -> bool:
        """Whether a weighted layer returns a tensor in float: for the network's output, or for a layer in float."""
        producer = self._network.producers.get(tensor)
        if producer is None or not self._returns_float(producer):
            return False
        return tensor in self._graph.outputs or any(map(self.runs_in_float, self._consumers(tensor)))

    def consumers_in_float(self, tensor: str) -> tuple[str, ...]:
        """The nodes that take a tensor's float values."""
        if not self._exists(tensor):
            return ()
        layers = filter(self.runs_in_float, self._consumers(tensor))
        return tuple(node.name for layer in layers for node in layer.nodes if tensor in node.input)

    def _keep_moves_in_float(self) -> None:
        """Give the moves in float a reason, those behind other moves after them."""
        to_float: set[str] = set()
        for layer in reversed(self._network.layers):
            if not self.runs_in_float(layer) and _only_moves(layer) and self._feeds_float(layer, to_float):
                to_float.add(layer.name)
        for layer in self._network.layers:
            if layer.name in to_float and self._exists(layer.first.input[0]):
                self.reasons[layer.name] = "it only moves values to layers in float"
                self._in_float.add(layer.name)

    def _feeds_float(self, layer: Layer, to_float: Collection[str]) -> bool:
        """Whether a layer has consumers, and all of them run in float or are among `to_float`."""
        outputs = [name for name in layer.nodes[-1].output if name]
        consumers = [consumer for name in outputs for consumer in self._consumers(name)]
        returned = any(name in self._graph.outputs for name in outputs)
        all_float = all(self.runs_in_float(consumer) or consumer.name in to_float for consumer in consumers)
        return bool(consumers) and not returned and all_float

    def _exists(self, tensor: str) -> bool:
        """Whether a tensor's float values can be had."""
        producer = self._network.producers.get(tensor)
        return producer is None or self.runs_in_float(producer) or self._returns_float(producer)

    def _returns_float(self, layer: Layer) -> bool:
        """Whether a layer in integers can return its result in float."""
        return self._soc.float_outputs and not self.runs_in_float(layer) and layer.weighted(self._graph)

    def _consumers(self, tensor: str) -> list[Layer]:
        """The layers that read a tensor's values."""
        layers = self._network.consumers.get(tensor, [])
        return [layer for layer in layers if layer.first.op_type not in READ_NO_VALUES]


def _only_moves(layer: Layer) -> bool:
    """Whether an operator moves or picks values; a Resize that interpolates computes new ones."""
    node = layer.first
    return node.op_type in MOVES and attribute(node, "mode", b"nearest") != b"linear"
