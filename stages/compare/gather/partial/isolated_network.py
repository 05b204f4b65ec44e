"""Each layer alone quantized: a network whose every layer takes the float network's tensors.

It is put together from what quantize wrote: `quantized.onnx` has the quantizers, `integer.onnx` says which layers run
in integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from stages.compare.gather.layers import computed_in_integers
from stages.compare.gather.partial.partial_network_writer import PartialNetworkWriter
from stages.compare.gather.units import along_channels
from stages.core.graph.onnx_graph import Graph, used_names
from stages.core.integer.model import inner_tensors
from stages.core.integer.network_params import NetworkParams

__all__ = ["IsolatedLayers", "isolated_network"]


@dataclass(frozen=True)
class IsolatedLayers:
    """Every layer alone quantized.

    Attributes:
        model: takes tensors of the float network under their names; its outputs are what the layers make of them.
        outputs: tensor of the float network -> the output that stands for it, in the quantized network's units. A
            tensor that is not here is exact: its layer runs in float, and it has no codes.
    """

    model: onnx.ModelProto
    outputs: Mapping[str, str]


def isolated_network(
    quantized: onnx.ModelProto, integer: onnx.ModelProto, reference: Graph, params: NetworkParams
) -> IsolatedLayers:
    """Write the network in which each layer takes the float network's tensors, rounded to their codes.

    A layer's output is rounded to its codes and no layer takes it, except inside a fused layer, where the activation
    takes its operator's output. A layer in float takes the float tensors as they are: it errs by its weight, if that
    is quantized all the same, and by the codes that its output has for others.

    Args:
        quantized: the network with quantizers.
        integer: the integer model: says which layers run in integers, and what they have inside.
        reference: the float network.
        params: what is quantized, and the factors of equalization, by which the tensors that are fed are divided.
    """
    return _IsolatedWriter(quantized, integer, reference, params).write()


class _IsolatedWriter(PartialNetworkWriter):
    """Writes the network of isolated layers."""

    def __init__(
        self, quantized: onnx.ModelProto, integer: onnx.ModelProto, reference: Graph, params: NetworkParams
    ) -> None:
        super().__init__(quantized, params)
        self._graph, self._factors = reference, params.factors
        self._weighted = {weight.node for weight in params.weights}
        self._in_integers, self._inner = computed_in_integers(integer), inner_tensors(integer.graph.node)
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._fed: dict[str, str] = {}
        self._rounded: dict[str, str] = {}

    def write(self) -> IsolatedLayers:
        constant = self._copy_constants()
        originals = {node.name for node in self._graph.nodes}
        shown = set(self._graph.float_tensors)
        outputs: dict[str, str] = {}
        for source in self.source.graph.node:
            if source.name not in originals or source.output[0] in constant:
                continue
            tensors = self._float_tensors(source)
            in_integers = not self._in_integers.isdisjoint(tensors.values())
            if in_integers or source.name in self._weighted:
                self._layer(source, tensors, constant, in_integers)
                for tensor in filter(shown.__contains__, tensors.values()):
                    alone = f"{tensor}/alone"
                    outputs[tensor] = self.round(tensor, alone, "isolated") if tensor in self.features else alone
            else:
                outputs |= {tensor: self._feature(tensor) for tensor in tensors.values() if tensor in self.features}
        return IsolatedLayers(self.model(list(self._inputs.values()), list(dict.fromkeys(outputs.values()))), outputs)

    def _copy_constants(self) -> set[str]:
        """Take over what follows from constants alone: weights, biases, constant operands; gives their names."""
        known = set(self.constants)
        for node in self.source.graph.node:
            if known.issuperset(filter(None, used_names([node]))):
                self.nodes.append(node)
                known.update(node.output)
        return known

    def _float_tensors(self, node: onnx.NodeProto) -> dict[str, str]:
        """The outputs of a node with quantizers -> the tensors of the float network that they stand for."""
        stems = {name: name.removesuffix("/float") for name in node.output if name}
        return {name: stem if stem in self.features else name for name, stem in stems.items()}

    def _layer(self, source: onnx.NodeProto, tensors: Mapping[str, str], constant: set[str], in_integers: bool) -> None:
        """Copy a node; it takes what is fed."""
        node = onnx.NodeProto()
        node.CopyFrom(source)
        for index, name in enumerate(source.input):
            tensor = self.features_by_start.get(name, self.features_by_end.get(name, name))
            if not name or name in constant:
                continue
            if tensor in self._inner:
                node.input[index] = f"{tensor}/alone"
            elif in_integers and tensor in self.features:
                node.input[index] = self._feature(tensor)
            else:
                node.input[index] = self._feed(tensor)
        for index, name in enumerate(source.output):
            node.output[index] = f"{tensors[name]}/alone" if name else ""
        self.nodes.append(node)

    def _feed(self, tensor: str) -> str:
        """A tensor of the float network in the quantized network's units."""
        if tensor not in self._fed:
            self._inputs[tensor] = onnx.ValueInfoProto(name=tensor, type=self._graph.types[tensor])
            self._fed[tensor] = tensor
            if tensor in self._factors:
                factors = along_channels(self._factors[tensor], len(self._graph.shapes[tensor]))
                self._fed[tensor] = self.scale("Div", tensor, factors, f"{tensor}/divided")
        return self._fed[tensor]

    def _feature(self, tensor: str) -> str:
        """A feature of the float network, rounded to its codes."""
        if tensor not in self._rounded:
            self._rounded[tensor] = self.round(tensor, self._feed(tensor), "taken")
        return self._rounded[tensor]
