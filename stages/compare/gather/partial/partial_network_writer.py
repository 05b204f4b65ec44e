"""A network of which only a part is quantized, while it is written from `quantized.onnx`.

That network has quantizers around every feature; docs/artifacts.md has the names of their tensors.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import used_names
from stages.core.integer.network_params import NetworkParams

__all__ = ["PartialNetworkWriter"]


class PartialNetworkWriter:
    """Copies nodes and quantizers of the network with quantizers.

    Args:
        quantized: that network.
        params: what is quantized.

    Attributes:
        source: the network with quantizers.
        nodes: what has been written.
        constants: initializers by name; those that no output needs are left out in the end.
        features: tensors with quantizers.
        features_by_start: the name of a feature's float value -> the feature.
        features_by_end: the name of its dequantized value -> the feature.
    """

    def __init__(self, quantized: onnx.ModelProto, params: NetworkParams) -> None:
        self.source = quantized
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
        self.features = {feature.tensor for feature in params.features}
        self._given = {graph_input.name for graph_input in quantized.graph.input} | self.constants.keys()
        self._producers = {name: node for node in quantized.graph.node for name in node.output}
        self.features_by_start = {self.start(name): name for name in self.features}
        self.features_by_end = {self.end(name): name for name in self.features}

    def start(self, tensor: str) -> str:
        """The name of a feature's float value."""
        return tensor if tensor in self._given else f"{tensor}/float"

    def end(self, tensor: str) -> str:
        """The name of its dequantized value."""
        return f"{tensor}/dequantized" if tensor in self._given else tensor

    def quantizer(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes between the two, in order."""
        nodes, name = list[onnx.NodeProto](), self.end(tensor)
        while name != self.start(tensor):
            nodes.append(self._producers[name])
            name = nodes[-1].input[0]
        return nodes[::-1]

    def round(self, tensor: str, source: str, suffix: str) -> str:
        """Copy a feature's quantizer to behind the tensor `source`; names of the copy end in `suffix`."""
        for original in self.quantizer(tensor):
            node = onnx.NodeProto()
            node.CopyFrom(original)
            node.input[0], node.output[0] = source, f"{original.output[0]}/{suffix}"
            node.name = f"{original.name}/{suffix}"
            self.nodes.append(node)
            source = node.output[0]
        return source

    def scale(self, op_type: str, source: str, factors: NDArray[np.float32], target: str) -> str:
        """Multiply or divide by factors: `Mul` or `Div`."""
        name = f"{target}/factors"
        self.constants[name] = numpy_helper.from_array(factors, name)
        node = helper.make_node(op_type, [source, name], [target], name=name)  # a layer may be called as its output
        self.nodes.append(node)
        return target

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[str]) -> onnx.ModelProto:
        """What has been written, without nodes and constants that no output needs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed |= used_names([node])
        stored = [tensor for name, tensor in self.constants.items() if name in needed]
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(kept[::-1], self.source.graph.name, inputs, infos, stored)
        opset = list(self.source.opset_import)
        return helper.make_model(graph, opset_imports=opset, ir_version=self.source.ir_version)
