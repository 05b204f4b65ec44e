"""The integer model while it is built: operators are lowered into it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import Graph, attribute, check_structure, used_names
from stages.core.integer.model import DOMAIN, DOMAIN_VERSION
from stages.core.integer.network_params import NetworkParams, WeightParams
from stages.core.integer.operators import CodesOperator
from stages.core.integer.operators.boundary import Constant, Dequantize, Quantize, QuantizeAway
from stages.core.integer.operators.table import Table
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.thresholds import converter_scale
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import clamp_bounds

__all__ = ["Codebook", "IntegerModelBuilder"]

Codebook = Mapping[str, NDArray[np.int32]]
"""Node -> int32 codes of its weight."""
ACCUMULATOR_LIMIT = 2**31


class IntegerModelBuilder:
    """Collects nodes, constants and types of the integer model.

    Args:
        model: the canonical float network.
        soc: for its requantization rule.
        params: scales and zero points.
        codes: of the weights.

    Attributes:
        graph: a view of the float network.
        soc: the SOC.
        notes: layers whose sums may not fit a 32-bit accumulator.
    """

    def __init__(self, model: onnx.ModelProto, soc: SocConfig, params: NetworkParams, codes: Codebook) -> None:
        self.graph = Graph(model)
        self.soc = soc
        self.notes: list[str] = []
        self._weights = {weight.node: weight for weight in params.weights}
        self._weight_codes = codes
        self._quant_params = {feature.tensor: feature.quant_params for feature in params.features}
        self._float_consumers = {feature.tensor: feature.float_consumers for feature in params.features}
        self._always_zero = {f.tensor for f in params.features if f.seen_low == f.seen_high == 0.0}
        self._float_tensors = set(self.graph.float_tensors)
        self._nodes: list[onnx.NodeProto] = []
        self._constants = dict(self.graph.constants)
        self._renamed = {name: f"{name}/codes" for name in self._quant_params if self._is_input_or_constant(name)}
        self._dequantized: dict[str, str] = {}
        self._infos: dict[str, onnx.ValueInfoProto] = {}

    def _is_input_or_constant(self, tensor: str) -> bool:
        return tensor in self.graph.inputs or tensor in self.graph.constants

    # --- features and constants ---

    def leaves_in_float(self, tensor: str) -> bool:
        """Whether a weighted layer returns a tensor in float: it has no codes, or a layer in float takes it besides."""
        return tensor not in self._quant_params or bool(self._float_consumers[tensor])

    def qparams(self, tensor: str) -> QuantParams:
        """The quantization parameters of a tensor that has codes."""
        return self._quant_params[tensor]

    def always_zero(self, tensor: str) -> bool:
        """Whether a feature was 0 on every calibration picture, so that its scale says nothing."""
        return tensor in self._always_zero

    def coded(self, tensor: str) -> str:
        """The name of a tensor's codes: its own, unless the float tensor is an input or a constant."""
        return self._renamed.get(tensor, tensor)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant; gives its name."""
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def weight(self, layer: Layer) -> tuple[WeightParams, NDArray[np.int32]]:
        """The parameters and codes of a layer's weight."""
        return self._weights[layer.first.name], self._weight_codes[layer.first.name]

    def begin(self) -> None:
        """Give codes to the network inputs and to constants that are quantized like features."""
        for name, qparams in self._quant_params.items():
            if name in self.graph.inputs:
                self._declare(self.coded(name), qparams, name)
                self._quantize(name, self.coded(name), qparams)
            elif name in self.graph.constants:
                self._constant_codes(name, qparams)

    def _constant_codes(self, name: str, qparams: QuantParams) -> None:
        value = self.graph.constant(name)
        assert value is not None
        codes = np.rint(value / np.float32(qparams.scale)).astype(np.float64) + qparams.zero_point
        stored = self.constant(f"{name}/stored", np.clip(codes, 0, qparams.qmax).astype(qparams.dtype))
        target = self.coded(name)
        self._declare(target, qparams, name)
        self._nodes.append(Constant(**_unclamped(qparams)).to_node([stored], target, f"{target}/Constant"))

    # --- layers in integers ---

    def add(self, record: type[CodesOperator], inputs: Sequence[str], layer: Layer, **attributes: Any) -> None:
        """Add a layer as one node of the integer domain; an output that leaves it in float is quantized behind it.

        Args:
            record: the operator; the parameters and the clamp of an output that has codes are filled in.
            inputs: names in the integer model.
            layer: the layer.
            attributes: the operator's own.
        """
        tensor = layer.output
        if self.leaves_in_float(tensor):
            qparams, target = None, self._float_name(tensor)
        else:
            qparams, target = self._quant_params[tensor], tensor
        self._declare(target, qparams, tensor)
        if qparams is not None:
            low, high = self._clamp(layer, qparams)
            attributes |= _unclamped(qparams) | {"low": low, "high": high}
        attributes["inner"] = layer.inner
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in attributes.items()}
        self._nodes.append(record(**fields).to_node(inputs, target, layer.name))
        if target != tensor:
            self._quantize_output(tensor)

    def add_table(self, name: str, operand: str, entries: NDArray[Any], result: QuantParams) -> str:
        """Add a table in front of a layer, which gives one of its operands other codes; returns the result's name.

        Args:
            name: of the node and of what it computes.
            operand: the tensor.
            entries: [2**bits of the operand], the codes that take the place of its codes.
            result: quantization parameters of these.
        """
        table = self.constant(f"{name}/table", entries.astype(result.dtype))
        self.add_inside(Table, [self.coded(operand), table], name, operand, result)
        return name

    def add_inside(
        self, record: type[CodesOperator], inputs: Sequence[str], name: str, like: str, result: QuantParams, **own: Any
    ) -> None:
        """Add a step of a layer, whose result is no tensor of the float network.

        Args:
            record: the operator.
            inputs: names in the integer model.
            name: of the node and of its result.
            like: a tensor of the result's shape.
            result: its quantization parameters.
            own: the operator's own attributes.
        """
        self._declare(name, result, like)
        self._nodes.append(record(**_unclamped(result), **own).to_node(inputs, name, name))

    def move(self, layer: Layer) -> None:
        """Add an ONNX operator that works on codes as they are."""
        node = onnx.NodeProto()
        node.CopyFrom(layer.first)
        node.input[0] = self.coded(node.input[0])
        if node.op_type == "Pad" and attribute(node, "mode", b"constant") == b"constant":
            padded_value, axes = list(node.input[2:3]), list(node.input[3:])
            value = self.graph.constant(padded_value[0]) if padded_value and padded_value[0] else None
            qparams = self.qparams(layer.output)
            code = np.rint(np.float64(0.0 if value is None else value.item()) / qparams.scale) + qparams.zero_point
            del node.input[2:]
            padded = np.array(np.clip(code, 0, qparams.qmax), dtype=qparams.dtype)
            node.input.extend([self.constant(f"{node.name}/padded", padded), *axes])
        for name in node.output:
            self._declare(name, self.qparams(name), name)
        self._nodes.append(node)

    def warn_if_wide(self, layer: Layer, weight: NDArray[np.int32], axis: int) -> None:
        """Note a layer whose worst sum does not fit the SOC's 32 bits."""
        x = self.qparams(layer.first.input[0])
        others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
        factor = 4 if self.soc.requantization.is_nna else 1
        largest = max(x.zero_point, x.qmax - x.zero_point)
        worst = factor * largest * int(np.abs(weight).sum(axis=others, dtype=np.int64).max())
        if worst >= ACCUMULATOR_LIMIT:
            self.notes.append(
                f"{layer.name} ({layer.kind}): its sums may exceed a 32-bit accumulator "
                f"({np.log2(worst):.0f} bits at worst): use fewer feature or weight bits there"
            )

    def _clamp(self, layer: Layer, qparams: QuantParams) -> tuple[int, int]:
        """The smallest and the largest code that a fused activation lets pass."""
        if len(layer.nodes) == 1 or layer.gated:
            return 0, qparams.qmax
        if self.soc.follows_converter:
            return qparams.zero_point, qparams.qmax  # a Relu; the upper bound is the threshold's
        bounds = np.array(clamp_bounds(self.graph, layer.nodes[-1]))[:, None] / qparams.scales + qparams.zero_point
        lows, highs = np.clip(np.rint(bounds), 0, qparams.qmax).astype(int)
        return int(lows.min()), int(highs.max())  # the same in every channel: the quantizer setup sees to it

    # --- nodes in float ---

    def copy(self, source: onnx.NodeProto, weight: NDArray[np.float32] | None = None) -> None:
        """Add a node in float: it takes float values, dequantized ones where there are no others.

        Its outputs are quantized where they have codes.

        Args:
            source: the node.
            weight: replaces its weight.
        """
        node = onnx.NodeProto()
        node.CopyFrom(source)
        for index, name in enumerate(node.input):
            node.input[index] = self._float(name, source.name)
        if weight is not None:
            node.input[1] = self.constant(f"{source.name}/weight/dequantized", weight)
        for index, name in enumerate(source.output):
            node.output[index] = self._float_name(name)
            if name in self._float_tensors:
                self._declare(node.output[index], None, name)
        self._nodes.append(node)
        for name in source.output:
            if name in self._quant_params:
                self._quantize_output(name)

    def _quantize_output(self, tensor: str) -> None:
        """Add the codes of a tensor that a layer computes in float."""
        qparams = self._quant_params[tensor]
        self._declare(tensor, qparams, tensor)
        self._quantize(self._float_name(tensor), tensor, qparams)

    def _quantize(self, source: str, target: str, qparams: QuantParams) -> None:
        fields = _unclamped(qparams)
        operator: Quantize = Quantize(**fields)
        if self.soc.follows_converter:
            operator = QuantizeAway(reciprocal=float(np.float32(1.0 / converter_scale(qparams))), **fields)
        self._nodes.append(operator.to_node([source], target, f"{target}/Quantize"))

    def _float_name(self, tensor: str) -> str:
        """The name of a tensor's float values: its own, unless its codes have that."""
        coded = tensor in self._quant_params and not self._is_input_or_constant(tensor)
        return f"{tensor}/float" if coded else tensor

    def _float(self, tensor: str, node: str) -> str:
        """The values of a tensor that a node in float takes, dequantized once where they exist as codes only."""
        if tensor not in self._quant_params or tensor in self.graph.constants:
            return tensor
        if node in self._float_consumers[tensor]:
            return self._float_name(tensor)
        if tensor not in self._dequantized:
            target = f"{tensor}/dequantized"
            self._dequantized[tensor] = target
            self._declare(target, None, tensor)
            self._nodes.append(Dequantize().to_node([self.coded(tensor)], target, f"{target}/Dequantize"))
        return self._dequantized[tensor]

    # --- the model ---

    def _declare(self, name: str, qparams: QuantParams | None, tensor: str) -> None:
        """Note the type of a new tensor; its shape is that of `tensor` in the float network."""
        constant = self.graph.constants.get(tensor)
        shape = self.graph.shapes.get(tensor) if constant is None else list(constant.dims)
        kind = TensorProto.FLOAT if qparams is None else qparams.onnx_type
        if shape is not None:
            self._infos[name] = helper.make_tensor_value_info(name, kind, shape)

    def finish(self) -> onnx.ModelProto:
        """The integer model of what has been added."""
        used = used_names(self._nodes)
        source = self.graph.model.graph
        own = {info.name: info for info in source.output}
        outputs = [self._infos.pop(name, own[name]) for name in self.graph.outputs]
        graph = helper.make_graph(
            self._nodes,
            source.name,
            [info for info in source.input if info.name in self.graph.inputs],
            outputs,
            [tensor for name, tensor in self._constants.items() if name in used],
            value_info=list(self._infos.values()),
        )
        opset = [*self.graph.model.opset_import, helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
        result = helper.make_model(graph, opset_imports=opset, ir_version=self.graph.model.ir_version)
        check_structure(result)
        return result


def _unclamped(qparams: QuantParams) -> dict[str, Any]:
    """A record's fields for an output with codes, none of them cut off."""
    return {
        "bits": qparams.bits,
        "scale": qparams.scale,
        "zero_point": qparams.zero_point,
        "channel_scales": qparams.channel_scales,
        "low": 0,
        "high": qparams.qmax,
    }
