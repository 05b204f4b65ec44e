"""Features alone quantized: the network with quantizers, its weights and biases those of the float network.

Biases count among the weights, since what corrects or learns them does so together with the weights.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.compare.gather.partial.partial_network_writer import PartialNetworkWriter
from stages.compare.gather.units import along_channels
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.operators import WEIGHTED

__all__ = ["feature_network"]


def feature_network(quantized: onnx.ModelProto, reference: Graph, params: NetworkParams) -> onnx.ModelProto:
    """Write the network whose features are quantized, its weights and biases those of the float network.

    It returns every float tensor that it computes, under the float network's names and in its units: a feature that
    equalization scaled is scaled just around its quantizer.

    Args:
        quantized: the network with quantizers.
        reference: the float network.
        params: what is quantized, and the factors of equalization.
    """
    return _FeatureWriter(quantized, reference, params).write()


class _FeatureWriter(PartialNetworkWriter):
    """Writes the network of quantized features."""

    def __init__(self, quantized: onnx.ModelProto, reference: Graph, params: NetworkParams) -> None:
        super().__init__(quantized, params)
        self._graph, self._factors = reference, params.factors
        self._originals = {node.name: node for node in reference.nodes}

    def write(self) -> onnx.ModelProto:
        scaled = [name for name in self.features if name in self._factors]
        divided = {self.quantizer(name)[0].output[0]: name for name in scaled}
        multiplied = {self.end(name): self._along_channels(name) for name in scaled}
        multiplied |= {self.end(name): factors for name, factors in self._scaled_constants().items()}
        # a constant of the float network may have kept its name and not its values: those of quantizers keep theirs
        self.constants |= {name: value for name, value in self._graph.constants.items() if name not in self.features}
        for source in self.source.graph.node:
            node = self._with_float_weights(source)
            output = node.output[0]
            if tensor := divided.get(output):
                node.input[0] = self.scale("Div", node.input[0], self._along_channels(tensor), f"{output}/divided")
            if output in multiplied:
                node.output[0] = f"{output}/to_multiply"
            self.nodes.append(node)
            if output in multiplied:
                self.scale("Mul", node.output[0], multiplied[output], output)
        computed = [name for name in self._graph.float_tensors if name in self._graph.producers]
        return self.model(list(self._graph.model.graph.input), computed)

    def _along_channels(self, tensor: str) -> NDArray[np.float32]:
        return along_channels(self._factors[tensor], len(self._graph.shapes[tensor]))

    def _with_float_weights(self, source: onnx.NodeProto) -> onnx.NodeProto:
        """Copy a node; it takes the float network's constants."""
        node = onnx.NodeProto()
        node.CopyFrom(source)
        if original := self._originals.get(source.name):
            if source.op_type in WEIGHTED:
                del node.input[len(original.input) :]  # a bias that corrections added
            for index, name in enumerate(original.input):
                if name in self._graph.constants and node.input[index] not in self.features_by_end:
                    node.input[index] = name
        return node

    def _scaled_constants(self) -> dict[str, NDArray[np.float32]]:
        """Constant operands with codes that equalization divided by the factors of their node's output."""
        scaled = {}
        for node in self.source.graph.node:
            for index, name in enumerate(node.input):
                tensor = self.features_by_end.get(name, "")
                original = self._graph.producers.get(node.output[0].removesuffix("/float"))
                if tensor not in self.constants or original is None:
                    continue
                output, value = original.output[0], self._graph.constant(original.input[index])
                stored = numpy_helper.to_array(self.constants[tensor])
                if output in self._factors and value is not None and not np.array_equal(stored, value):
                    scaled[tensor] = self._along_channels(output)
        return scaled
