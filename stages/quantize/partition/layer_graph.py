"""The layers of a network, found by their nodes and by the tensors between them."""

from dataclasses import dataclass

from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import Graph, output_name
from stages.quantize.partition.layers import Layer, find_layers

__all__ = ["LayerGraph"]


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a network.

    Attributes:
        graph: the network.
        layers: all layers, in graph order.
        by_node: name of a node -> the layer that it belongs to.
        producers: tensor -> the layer that computes it; tensors inside layers are left out.
        consumers: tensor -> the layers that have it as an operand.
    """

    graph: Graph
    layers: list[Layer]
    by_node: dict[str, Layer]
    producers: dict[str, Layer]
    consumers: dict[str, list[Layer]]

    @classmethod
    def of(cls, graph: Graph, soc: SocConfig) -> "LayerGraph":
        """Find the layers of a network on a SOC."""
        layers = find_layers(graph, soc)
        by_node = {name: layer for layer in layers for name in layer.names}
        producers = {name: layer for layer in layers for name in layer.nodes[-1].output}
        consumers: dict[str, list[Layer]] = {}
        for layer in layers:
            for name in dict.fromkeys(layer.operands(graph)):
                consumers.setdefault(name, []).append(layer)
        return cls(graph, layers, by_node, producers, consumers)

    def owner(self, tensor: str) -> str:
        """The name of a tensor in tables: its node's, or its own if it is an input or a constant."""
        return output_name(self.producers[tensor].nodes[-1], tensor) if tensor in self.producers else tensor
