"""Writing the quantized network as standard ONNX: QuantizeLinear and DequantizeLinear around every feature.

Tensors keep their names: the dequantized value of tensor `t` is `t`, so both networks are compared name by name. The
float value before is `t/float`, the codes are `t/codes`. A network input keeps its name; its dequantized value is
`t/dequantized`. Nodes of a feature's `float_consumers` read its float value. Codes of a bit width that has no type
(6, 10, 12, 14 bits) are stored in the next wider type, features clipped to their bit width first. Features below 8 bits
are stored in 8: ONNX Runtime fuses convolutions of 4-bit features into kernels that it does not have. A feature with a
scale a channel is divided by them, quantized with the scale 1 and multiplied by them: quantizers along an axis ONNX
Runtime fuses into kernels that take one scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import Graph, check_structure, infer_shapes, used_names
from stages.core.integer.network_params import FeatureParams, NetworkParams, WeightParams
from stages.core.integer.rules import bias_codes, broadcast_scales
from stages.quantize.parameters.scales import representable
from stages.quantize.partition.nodes import bias_of

__all__ = ["insert_quantizers", "storage_type"]

IR_OF_WIDE_TYPES = 10  # the IR version that goes with opset 21
WIDE_TYPES_OPSET = 21  # QuantizeLinear and DequantizeLinear with 4- and 16-bit types
SIGNED_TYPES = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16}
UNSIGNED_TYPES = {8: TensorProto.UINT8, 16: TensorProto.UINT16}
NUMPY_TYPES: dict[int, type[np.integer[Any]]] = {
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT16: np.int16,
    TensorProto.UINT16: np.uint16,
}


def storage_type(bits: int, signed: bool) -> tuple[int, int]:
    """Give the narrowest type used here that holds `bits`, and its bit width."""
    types = SIGNED_TYPES if signed else UNSIGNED_TYPES
    stored_bits = next(stored_bits for stored_bits in types if bits <= stored_bits)
    return types[stored_bits], stored_bits


def insert_quantizers(
    model: onnx.ModelProto, params: NetworkParams, codes: Mapping[str, NDArray[np.int32]]
) -> onnx.ModelProto:
    """Build the quantized network.

    Args:
        model: the canonical float network; not changed.
        params: what to quantize and how.
        codes: node -> int32 codes of its weight.

    Returns:
        A model that ONNX's checker accepts; opset 21 where a 4- or 16-bit type is used, else the float network's.
    """
    return _Writer(model, params, codes).write()


class _Writer:
    """Holds the nodes and initializers that are being written."""

    def __init__(self, model: onnx.ModelProto, params: NetworkParams, codes: Mapping[str, NDArray[np.int32]]) -> None:
        bit_widths = {storage_type(feature.bits, signed=False)[1] for feature in params.features}
        bit_widths |= {storage_type(weight.bits, signed=True)[1] for weight in params.weights}
        self._model = _with_types(model, bit_widths)
        self._graph = Graph(self._model)
        self._features = {feature.tensor: feature for feature in params.features}
        self._weights = {weight.node: weight for weight in params.weights}
        self._codes = codes
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = dict(self._graph.constants)

    def write(self) -> onnx.ModelProto:
        renamed = {}
        for name in (*self._graph.inputs, *self._graph.constants):
            if name in self._features:
                renamed[name] = f"{name}/dequantized"
                self._quantize_feature(self._features[name], name, renamed[name])
        for source in self._graph.nodes:
            node = onnx.NodeProto()
            node.CopyFrom(source)
            if node.name in self._weights:
                self._quantize_weight(self._weights[node.name], node)
            for i, name in enumerate(node.input):
                if name in self._features and node.name in self._features[name].float_consumers:
                    node.input[i] = name if name in renamed else f"{name}/float"
                elif name in renamed:
                    node.input[i] = renamed[name]
            features = [self._features[name] for name in node.output if name in self._features]
            for i, name in enumerate(node.output):
                if name in self._features:
                    node.output[i] = f"{name}/float"
            self._nodes.append(node)
            for feature in features:
                self._quantize_feature(feature, f"{feature.tensor}/float", feature.tensor)
        return self._finish()

    def _quantize_feature(self, params: FeatureParams, source: str, target: str) -> None:
        """Add Clip (where the type is wider than the codes), QuantizeLinear and DequantizeLinear.

        Around them Div and Mul where each channel has its own scale.
        """
        kind, stored_bits = storage_type(params.bits, signed=False)
        tensor, stem = params.tensor, params.tensor if source == params.tensor else params.node
        per_tensor_scale = np.float32(1.0 if params.channel_scales else params.scale)
        scale = self._constant(f"{tensor}/scale", per_tensor_scale)
        zero = self._typed(f"{tensor}/zero_point", kind, np.array(params.zero_point, dtype=np.int32))
        channel_scales = ""
        if params.channel_scales:
            by_channel = params.quant_params.broadcast_scale(len(self._graph.shapes[tensor]))
            channel_scales = self._constant(f"{tensor}/channel_scales", by_channel)
            source = self._add("Div", [source, channel_scales], f"{tensor}/in_steps", f"{stem}/Div")
        if stored_bits != params.bits:
            low, high = representable(float(per_tensor_scale), params.zero_point, params.bits)
            bounds = [
                self._constant(f"{tensor}/low", np.float32(low)),
                self._constant(f"{tensor}/high", np.float32(high)),
            ]
            source = self._add("Clip", [source, *bounds], f"{tensor}/clipped", f"{stem}/Clip")
        real = f"{tensor}/centred" if channel_scales else target
        self._add("QuantizeLinear", [source, scale, zero], f"{tensor}/codes", f"{stem}/QuantizeLinear")
        self._add("DequantizeLinear", [f"{tensor}/codes", scale, zero], real, f"{stem}/DequantizeLinear")
        if channel_scales:
            self._add("Mul", [real, channel_scales], target, f"{stem}/Mul")

    def _quantize_weight(self, params: WeightParams, node: onnx.NodeProto) -> None:
        """Replace the node's weight and bias by dequantized codes."""
        kind, _ = storage_type(params.bits, signed=True)
        scales = np.asarray(params.scales, dtype=np.float32)
        per_tensor = params.axis is None
        stem = f"{node.name}/weight"
        stored = self._typed(f"{stem}/codes", kind, self._codes[node.name])
        scale = self._constant(f"{stem}/scale", scales[0] if per_tensor else scales)
        zero = self._typed(f"{stem}/zero_point", kind, np.zeros([] if per_tensor else len(scales), dtype=np.int32))
        node.input[1] = self._add("DequantizeLinear", [stored, scale, zero], f"{stem}/dequantized", stem, params.axis)
        feature = self._features.get(node.input[0])
        if feature and (bias := bias_of(self._graph, node)) is not None:
            x_scales = broadcast_scales(feature.scales, len(scales)).astype(np.float32)
            self._quantize_bias(node, bias, np.broadcast_to(x_scales * scales, bias.shape))

    def _quantize_bias(self, node: onnx.NodeProto, bias: NDArray[np.float32], scales: NDArray[np.float32]) -> None:
        """Store the bias as int32 at the accumulator's scale."""
        stem = f"{node.name}/bias"
        stored = self._constant(f"{stem}/codes", bias_codes(bias, scales))
        scale = self._constant(f"{stem}/scale", np.ascontiguousarray(scales))
        node.input[2] = self._add("DequantizeLinear", [stored, scale], f"{stem}/dequantized", stem, axis=0)

    def _add(self, kind: str, inputs: Sequence[str], target: str, name: str, axis: int | None = None) -> str:
        node = helper.make_node(kind, list(inputs), [target], name=name)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._nodes.append(node)
        return target

    def _constant(self, name: str, value: np.float32 | NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _typed(self, name: str, kind: int, values: NDArray[np.int32]) -> str:
        """Add an initializer of an integer type, 4-bit ones included."""
        if kind in NUMPY_TYPES:
            return self._constant(name, values.astype(NUMPY_TYPES[kind]))
        self._constants[name] = helper.make_tensor(name, kind, values.shape, values.reshape(-1))
        return name

    def _finish(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        used = used_names(self._nodes)
        del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
        result.graph.node.extend(self._nodes)
        result.graph.initializer.extend(tensor for name, tensor in self._constants.items() if name in used)
        infer_shapes(result)
        check_structure(result)
        return result


def _with_types(model: onnx.ModelProto, bit_widths: set[int]) -> onnx.ModelProto:
    """Raise the opset where a type of `bit_widths` needs it."""
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if bit_widths <= {8} or opset >= WIDE_TYPES_OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, WIDE_TYPES_OPSET)
    except Exception as error:  # the converter's C++ side raises many types
        raise UserError(
            f"the network's opset {opset} cannot be raised to {WIDE_TYPES_OPSET}, which these bit widths need: "
            f"{one_line(error)}"
        ) from error
    converted.ir_version = max(converted.ir_version, IR_OF_WIDE_TYPES)
    names = {node.output[0]: node.name for node in model.graph.node}
    for node in converted.graph.node:  # the converter drops names and may add constants
        node.name = names.get(node.output[0]) or f"{node.op_type}_{node.output[0]}"
    return converted
