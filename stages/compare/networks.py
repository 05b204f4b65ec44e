"""Networks that tell where the error comes from: each layer alone quantized, features alone, weights alone.

They are put together from what quantize wrote: `quantized.onnx` has quantizers around every feature (docs/artifacts.md
has its names), `integer.onnx` says which layers run in integers, `prepared.onnx` is the network whose weights alone are
quantized. Biases count among the weights, since what corrects or learns them does so together with the weights: the
network of quantized features has the float network's biases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import WEIGHTED, Graph, used_names
from stages.core.integer.model import DOMAIN, inner_tensors, tensor_quant_params
from stages.core.integer.qparams import NetworkParams

__all__ = ["Isolated", "Parts", "along_channels", "feature_model", "isolated_model", "made_in_integers"]

AT_BORDERS = {"Quantize", "Dequantize", "Constant"}  # integer nodes that are no layer


@dataclass(frozen=True)
class Isolated:
    """Every layer alone quantized.

    Attributes:
        model: takes tensors of the float network under their names; its outputs are what the layers make of them.
        outputs: tensor of the float network -> the output that stands for it, in the quantized network's units. A
            tensor that is not here is exact: its layer runs in float, and it has no codes.
    """

    model: onnx.ModelProto
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Parts:
    """Networks of which only a part is quantized.

    Attributes:
        isolated: each layer alone.
        features: all features; tensors have the float network's names and units.
        weights: all weights, and biases as the quantized network has them; in the quantized network's units.
    """

    isolated: Isolated
    features: onnx.ModelProto
    weights: onnx.ModelProto


def along_channels(factors: Sequence[float], rank: int) -> NDArray[np.float32]:
    """Factors, one a channel, as they broadcast against a tensor of that rank: float32 [C, 1, ...] for axis 1."""
    return np.asarray(factors, dtype=np.float32).reshape(-1, *[1] * (rank - 2))


def isolated_model(
    quantized: onnx.ModelProto, integer: onnx.ModelProto, reference: onnx.ModelProto, params: NetworkParams
) -> Isolated:
    """Write the network in which each layer takes the float network's tensors, rounded to their codes.

    What a layer makes is rounded to its codes and nobody takes it, except inside a fused layer, where the activation
    takes what its operator makes. A layer in float takes the float tensors as they are: it errs by its weight, if that
    is quantized all the same, and by the codes that its output has for others.

    Args:
        quantized: the network with quantizers.
        integer: the integer model: says which layers run in integers, and what they have inside.
        reference: the float network.
        params: what is quantized, and the factors of equalization, by which the tensors that are fed are divided.
    """
    return _Isolating(quantized, integer, reference, params).write()


def feature_model(quantized: onnx.ModelProto, reference: onnx.ModelProto, params: NetworkParams) -> onnx.ModelProto:
    """Write the network whose features are quantized, its weights and biases those of the float network.

    It returns every float tensor that it computes, under the float network's names and in its units: a feature that
    equalization scaled is scaled just around its quantizer.

    Args:
        quantized: the network with quantizers.
        reference: the float network.
        params: what is quantized, and the factors of equalization.
    """
    graph, writer = Graph(reference), _Writer(quantized, params)
    originals = {node.name: node for node in graph.nodes}
    before = {writer.chain(name)[0].output[0]: name for name in writer.features if name in params.factors}
    after = {
        writer.end(name): along_channels(params.factors[name], len(graph.shapes[name])) for name in before.values()
    }
    for name, factors in _scaled_constants(writer, graph, params.factors).items():
        after[writer.end(name)] = factors
    # a constant of the float network may have kept its name and not its values: those of quantizers keep theirs
    writer.constants |= {name: tensor for name, tensor in graph.constants.items() if name not in writer.features}
    for source in quantized.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(source)
        if original := originals.get(source.name):
            if source.op_type in WEIGHTED:
                del node.input[len(original.input) :]  # a bias that corrections added
            for index, name in enumerate(original.input):
                if name in graph.constants and node.input[index] not in writer.features_by_end:
                    node.input[index] = name
        made = node.output[0]
        if tensor := before.get(made):
            factors = along_channels(params.factors[tensor], len(graph.shapes[tensor]))
            node.input[0] = writer.scale("Div", node.input[0], factors, f"{made}/divided")
        if made in after:
            node.output[0] = f"{made}/to_multiply"
            writer.nodes.append(node)
            writer.scale("Mul", node.output[0], after[made], made)
        else:
            writer.nodes.append(node)
    computed = [name for name in graph.float_tensors if name in graph.producers]
    return writer.model(list(reference.graph.input), computed)


def _scaled_constants(
    writer: "_Writer", graph: Graph, factors: Mapping[str, Sequence[float]]
) -> dict[str, NDArray[np.float32]]:
    """Constant operands with codes that equalization divided by factors: those of what their node makes."""
    found = {}
    for node in writer.source.graph.node:
        for index, name in enumerate(node.input):
            tensor = writer.features_by_end.get(name, "")
            original = graph.producers.get(node.output[0].removesuffix("/float"))
            if tensor not in writer.constants or original is None:
                continue
            made, value = original.output[0], graph.constant(original.input[index])
            stored = numpy_helper.to_array(writer.constants[tensor])
            if made in factors and value is not None and not np.array_equal(stored, value):
                found[tensor] = along_channels(factors[made], len(graph.shapes[made]))
    return found


class _Writer:
    """A network while it is written from the one with quantizers."""

    def __init__(self, quantized: onnx.ModelProto, params: NetworkParams) -> None:
        self.source = quantized
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
        self.features = {entry.tensor for entry in params.features}
        self._given = {entry.name for entry in quantized.graph.input} | self.constants.keys()
        self._producers = {name: node for node in quantized.graph.node for name in node.output}
        self.features_by_end = {self.end(name): name for name in self.features}

    def start(self, tensor: str) -> str:
        """The name of a feature's float value."""
        return tensor if tensor in self._given else f"{tensor}/float"

    def end(self, tensor: str) -> str:
        """The name of its dequantized value."""
        return f"{tensor}/dequantized" if tensor in self._given else tensor

    def chain(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes between the two, in order: a feature's quantizer."""
        found, name = [], self.end(tensor)
        while name != self.start(tensor):
            found.append(self._producers[name])
            name = found[-1].input[0]
        return found[::-1]

    def round(self, tensor: str, source: str, stem: str) -> str:
        """Copy a feature's quantizer to another place: from `source` on, names ending in `stem`."""
        for original in self.chain(tensor):
            node = onnx.NodeProto()
            node.CopyFrom(original)
            node.input[0], node.output[0], node.name = source, f"{original.output[0]}/{stem}", f"{original.name}/{stem}"
            self.nodes.append(node)
            source = node.output[0]
        return source

    def scale(self, kind: str, source: str, factors: NDArray[np.float32], target: str) -> str:
        """Multiply or divide by factors."""
        name = f"{target}/factors"
        self.constants[name] = numpy_helper.from_array(factors, name)
        self.nodes.append(helper.make_node(kind, [source, name], [target], name=target))
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


class _Isolating(_Writer):
    """Writes the network of isolated layers."""

    def __init__(
        self, quantized: onnx.ModelProto, integer: onnx.ModelProto, reference: onnx.ModelProto, params: NetworkParams
    ) -> None:
        super().__init__(quantized, params)
        self._graph, self._factors = Graph(reference), params.factors
        self._weighted = {entry.node for entry in params.weights}
        self._in_integers, self._inner = made_in_integers(integer), inner_tensors(integer.graph.node)
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._fed: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def write(self) -> Isolated:
        constant = self._copy_constants()
        originals = {node.name for node in self._graph.nodes}
        shown = set(self._graph.float_tensors)
        outputs: dict[str, str] = {}
        for source in self.source.graph.node:
            if source.name not in originals or source.output[0] in constant:
                continue
            made = {name: name.removesuffix("/float") for name in source.output if name}
            made = {name: tensor if tensor in self.features else name for name, tensor in made.items()}
            in_integers = not self._in_integers.isdisjoint(made.values())
            if in_integers or source.name in self._weighted:
                self._layer(source, made, constant, in_integers)
                for tensor in filter(shown.__contains__, made.values()):
                    alone = f"{tensor}/alone"
                    outputs[tensor] = self.round(tensor, alone, "isolated") if tensor in self.features else alone
            else:
                outputs |= {tensor: self._rounded(tensor) for tensor in made.values() if tensor in self.features}
        return Isolated(self.model(list(self._inputs.values()), list(dict.fromkeys(outputs.values()))), outputs)

    def _copy_constants(self) -> set[str]:
        """Take over what follows from constants alone: weights, biases, constant operands; gives their names."""
        known = set(self.constants)
        for node in self.source.graph.node:
            if known.issuperset(filter(None, used_names([node]))):
                self.nodes.append(node)
                known.update(node.output)
        return known

    def _layer(self, source: onnx.NodeProto, made: Mapping[str, str], constant: set[str], in_integers: bool) -> None:
        """Copy a node; it takes what is fed."""
        node = onnx.NodeProto()
        node.CopyFrom(source)
        for index, name in enumerate(source.input):
            tensor = self.features_by_end.get(name, name)
            if not name or name in constant:
                continue
            if tensor in self._inner:
                node.input[index] = f"{tensor}/alone"
            elif in_integers and tensor in self.features:
                node.input[index] = self._rounded(tensor)
            else:
                node.input[index] = self._feed(tensor)
        for index, name in enumerate(source.output):
            node.output[index] = f"{made[name]}/alone" if name else ""
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

    def _rounded(self, tensor: str) -> str:
        """A feature of the float network, rounded to its codes."""
        if tensor not in self._taken:
            self._taken[tensor] = self.round(tensor, self._feed(tensor), "taken")
        return self._taken[tensor]


def made_in_integers(integer: onnx.ModelProto) -> set[str]:
    """Tensors that layers in integers make, those inside fused layers too."""
    codes = tensor_quant_params(integer.graph.node)
    made = inner_tensors(integer.graph.node)
    for node in integer.graph.node:
        own = node.domain == DOMAIN
        if (own and node.op_type not in AT_BORDERS) or (not own and node.input and node.input[0] in codes):
            made.update(node.output)
    return made
