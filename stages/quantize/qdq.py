"""Writing the quantized network as standard ONNX: QuantizeLinear and DequantizeLinear around every feature.

Tensors keep their names: the dequantized value of tensor `t` is `t`, so both networks are compared name by name. The
float value before is `t/float`, the codes are `t/codes`. A network input keeps its name; its dequantized value is
`t/dequantized`. Codes of a width that ONNX lacks (6, 10, 12, 14 bits) are stored in the next wider type, features
clipped to their width first.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from stages.core.errors import UserError, one_line
from stages.core.graph import Graph
from stages.core.qparams import FeatureParams, QuantParams, WeightParams
from stages.quantize.scales import bias_codes, representable

__all__ = ["insert_quantizers", "storage_type"]

WIDE_TYPES_OPSET = 21  # QuantizeLinear and DequantizeLinear with 4- and 16-bit types
SIGNED = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16}
UNSIGNED = {4: TensorProto.UINT4, 8: TensorProto.UINT8, 16: TensorProto.UINT16}


def storage_type(bits: int, signed: bool) -> tuple[int, int]:
    """Give the narrowest ONNX type that holds `bits`, and its width."""
    width = next(width for width in (4, 8, 16) if bits <= width)
    return (SIGNED if signed else UNSIGNED)[width], width


def insert_quantizers(
    model: onnx.ModelProto, params: QuantParams, codes: Mapping[str, NDArray[np.int32]]
) -> onnx.ModelProto:
    """Build the quantized network.

    Args:
        model: the canonical float network; not changed.
        params: what to quantize and how.
        codes: weight name -> int32 codes.

    Returns:
        A model that ONNX's checker accepts; opset 21 where a 4- or 16-bit type is used, else the float network's.
    """
    return _Writer(model, params, codes).write()


class _Writer:
    """Holds what is being written: new nodes and initializers."""

    def __init__(self, model: onnx.ModelProto, params: QuantParams, codes: Mapping[str, NDArray[np.int32]]) -> None:
        widths = {storage_type(entry.bits, signed=False)[1] for entry in params.features}
        widths |= {storage_type(entry.bits, signed=True)[1] for entry in params.weights}
        self._model = _with_types(model, widths)
        self._graph = Graph(self._model)
        self._features = {entry.tensor: entry for entry in params.features}
        self._weights = {entry.node: entry for entry in params.weights}
        self._codes = codes
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = dict(self._graph.constants)

    def write(self) -> onnx.ModelProto:
        renamed = {}
        for name in self._graph.inputs:
            if name in self._features:
                renamed[name] = f"{name}/dequantized"
                self._quantize_feature(self._features[name], name, renamed[name])
        for source in self._graph.nodes:
            node = onnx.NodeProto()
            node.CopyFrom(source)
            if node.name in self._weights:
                self._quantize_weight(self._weights[node.name], node)
            for i, name in enumerate(node.input):
                node.input[i] = renamed.get(name, name)
            made = [self._features[name] for name in node.output if name in self._features]
            for i, name in enumerate(node.output):
                if name in self._features:
                    node.output[i] = f"{name}/float"
            self._nodes.append(node)
            for entry in made:
                self._quantize_feature(entry, f"{entry.tensor}/float", entry.tensor)
        return self._finish()

    def _quantize_feature(self, entry: FeatureParams, source: str, target: str) -> None:
        """Add Clip (where the type is wider than the codes), QuantizeLinear and DequantizeLinear."""
        kind, width = storage_type(entry.bits, signed=False)
        tensor, stem = entry.tensor, entry.tensor if source == entry.tensor else entry.node
        if len([1 for other in self._features.values() if other.node == entry.node]) > 1:
            stem = tensor  # a node with several outputs
        scale = self._constant(f"{tensor}/scale", np.float32(entry.scale))
        zero = self._typed(f"{tensor}/zero_point", kind, [], [entry.zero_point])
        if width != entry.bits:
            low, high = representable(float(np.float32(entry.scale)), entry.zero_point, entry.bits)
            bounds = [
                self._constant(f"{tensor}/low", np.float32(low)),
                self._constant(f"{tensor}/high", np.float32(high)),
            ]
            self._add("Clip", [source, *bounds], f"{tensor}/clipped", f"{stem}/Clip")
            source = f"{tensor}/clipped"
        self._add("QuantizeLinear", [source, scale, zero], f"{tensor}/codes", f"{stem}/QuantizeLinear")
        self._add("DequantizeLinear", [f"{tensor}/codes", scale, zero], target, f"{stem}/DequantizeLinear")

    def _quantize_weight(self, entry: WeightParams, node: onnx.NodeProto) -> None:
        """Replace the node's weight and bias by dequantized codes."""
        codes = self._codes[entry.tensor]
        kind, _ = storage_type(entry.bits, signed=True)
        scales = np.asarray(entry.scales, dtype=np.float32)
        axis = None if entry.axis is None else entry.axis
        stored = self._typed(f"{entry.tensor}/codes", kind, codes.shape, codes.reshape(-1))
        scale = self._constant(f"{entry.tensor}/scale", scales if axis is not None else scales[0])
        zeros = [0] * len(scales)
        zero = self._typed(f"{entry.tensor}/zero_point", kind, [len(zeros)] if axis is not None else [], zeros)
        target = f"{entry.tensor}/dequantized"
        if not any(target in made.output for made in self._nodes):  # a weight may serve several nodes
            self._add("DequantizeLinear", [stored, scale, zero], target, f"{node.name}/weight", axis)
        feature = self._features.get(node.input[0])
        node.input[1] = target
        if len(node.input) > 2 and node.input[2] in self._graph.constants and feature:
            self._quantize_bias(node, np.float32(feature.scale) * scales)

    def _quantize_bias(self, node: onnx.NodeProto, scales: NDArray[np.float32]) -> None:
        """Store the bias as int32 at the accumulator's scale; leave it in float where it does not fit."""
        bias = numpy_helper.to_array(self._graph.constants[node.input[2]])
        if bias.ndim != 1 or len(scales) not in (1, bias.size):
            return
        scales = np.broadcast_to(scales, bias.shape)
        codes = bias_codes(bias, scales)
        if codes is None:
            return
        stem = f"{node.name}/bias"
        stored = self._constant(f"{stem}/codes", codes)
        scale = self._constant(f"{stem}/scale", np.ascontiguousarray(scales))
        self._add("DequantizeLinear", [stored, scale], f"{stem}/dequantized", stem, axis=0)
        node.input[2] = f"{stem}/dequantized"

    def _add(self, kind: str, inputs: Sequence[str], target: str, name: str, axis: int | None = None) -> None:
        node = helper.make_node(kind, list(inputs), [target], name=name)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._nodes.append(node)

    def _constant(self, name: str, value: np.float32 | NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _typed(self, name: str, kind: int, shape: Sequence[int], values: Sequence[int] | NDArray[np.int32]) -> str:
        """Add an initializer of a type that NumPy may lack (4 bits)."""
        self._constants[name] = helper.make_tensor(name, kind, list(shape), [int(value) for value in values])
        return name

    def _finish(self) -> onnx.ModelProto:
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        used = {name for node in self._nodes for name in node.input}
        del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
        result.graph.node.extend(self._nodes)
        result.graph.initializer.extend(tensor for name, tensor in self._constants.items() if name in used)
        result = onnx.shape_inference.infer_shapes(result)
        onnx.checker.check_model(result)
        return result


def _with_types(model: onnx.ModelProto, widths: set[int]) -> onnx.ModelProto:
    """Raise the opset where a type of `widths` needs it."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if widths <= {8} or opset >= WIDE_TYPES_OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, WIDE_TYPES_OPSET)
    except Exception as error:  # the converter's C++ side raises many types
        raise UserError(
            f"the network's opset {opset} cannot be raised to {WIDE_TYPES_OPSET}, which these widths need: "
            f"{one_line(error)}"
        ) from error
    for before, after in zip(model.graph.node, converted.graph.node, strict=True):
        after.name = before.name
    return converted
