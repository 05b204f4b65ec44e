"""From the float network and what was chosen for it to the integer model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.config.schema import Requantization, SocConfig
from stages.core.graph.onnx_graph import Graph, attribute, used_names
from stages.core.integer import rules
from stages.core.integer.model import DOMAIN, VERSION
from stages.core.integer.qparams import NetworkParams, WeightParams
from stages.core.integer.quant_params import QuantParams
from stages.quantize.emit.interpolation import interpolation, weight_bits
from stages.quantize.parameters.scales import bias_codes, spread
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.partition.layers import PASS_CODES, Layer, bias_of, window
from stages.quantize.partition.lookup_tables import TABLES, clamp_bounds, inner_values, table
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["lower"]

Codebook = Mapping[str, NDArray[np.int32]]
ACCUMULATOR_LIMIT = 2**31
SUM_BITS = 52  # of a sum times its multiplier: exact in double


def lower(
    model: onnx.ModelProto, soc: SocConfig, setup: QuantizerSetup, params: NetworkParams, codes: Codebook
) -> tuple[onnx.ModelProto, list[str]]:
    """Write the integer model.

    A layer computes on codes if all its features have codes and its weight too; any other runs in float between
    Dequantize and Quantize.

    Args:
        model: the canonical float network.
        soc: for its requantization rule.
        setup: the layers, and which of them run in integers.
        params: scales and zero points.
        codes: node -> int32 codes of its weight.

    Returns:
        The model, and notes: layers whose sums may not fit a 32-bit accumulator.
    """
    return _Lowering(model, soc, setup, params, codes).run()


class _Lowering:
    def __init__(
        self, model: onnx.ModelProto, soc: SocConfig, setup: QuantizerSetup, params: NetworkParams, codes: Codebook
    ) -> None:
        self.graph = Graph(model)
        self.soc = soc
        self._setup = setup
        self._float_tensors = set(self.graph.float_tensors)
        self._weights = {entry.node: entry for entry in params.weights}
        self._weight_codes = codes
        self._quant_params = {entry.tensor: entry.codes for entry in params.features}
        self.zeros = {f.tensor for f in params.features if f.seen_low == f.seen_high == 0.0}
        self._nodes: list[onnx.NodeProto] = []
        self._constants = dict(self.graph.constants)
        self._renamed = {name: f"{name}/codes" for name in self._quant_params if self._is_given(name)}
        self._float_names: dict[str, str] = {}
        self._infos: dict[str, onnx.ValueInfoProto] = {}
        self._notes: list[str] = []

    def _is_given(self, tensor: str) -> bool:
        return tensor in self.graph.inputs or tensor in self.graph.constants

    def run(self) -> tuple[onnx.ModelProto, list[str]]:
        for name, qparams in self._quant_params.items():
            if name in self.graph.inputs:
                self._declare(self.coded(name), qparams, name)
                self.add("Quantize", [name], self.coded(name), qparams)
            elif name in self.graph.constants:
                self._constant_codes(name, qparams)
        for layer in self._setup.layers:
            if layer.name in self._setup.integer:
                kind = layer.kind if layer.kind in TABLES else layer.first.op_type
                _LOWERINGS[kind](self, layer)
            else:
                for node in layer.nodes:
                    self.copy(node)
        return self._finish(), self._notes

    # --- what the operators below ask for ---

    def has_codes(self, tensor: str) -> bool:
        return tensor in self._quant_params

    def qparams(self, tensor: str) -> QuantParams:
        return self._quant_params[tensor]

    def coded(self, tensor: str) -> str:
        """The name of a tensor's codes: its own, unless the float one is given from outside."""
        return self._renamed.get(tensor, tensor)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def weight(self, layer: Layer) -> tuple[WeightParams, NDArray[np.int32]]:
        return self._weights[layer.first.name], self._weight_codes[layer.first.name]

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        made: QuantParams | None,
        layer: Layer | None = None,
        **more: Any,
    ) -> None:
        """Add a node of the integer domain; `made` says what its codes mean, None for a float output."""
        if layer is not None:
            self._declare(output, made, layer.output)
        if made is not None:
            low, high = self._clamp(layer, made)
            more |= {"bits": made.bits, "scale": made.scale, "zero_point": made.zero_point, "low": low, "high": high}
            more["channel_scales"] = list(made.channel_scales)
        if layer is not None and layer.inner:
            more["inner"] = layer.inner
        name = layer.name if layer else f"{output}/{kind}"
        given: dict[str, Any] = {key: more[key] for key in sorted(more) if more[key] != []}
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=name, domain=DOMAIN, **given))

    def move(self, layer: Layer) -> None:
        """Add an ONNX operator that works on codes as they are."""
        node = onnx.NodeProto()
        node.CopyFrom(layer.first)
        node.input[0] = self.coded(node.input[0])
        if node.op_type == "Pad" and attribute(node, "mode", b"constant") == b"constant":
            given, after = list(node.input[2:3]), list(node.input[3:])
            value = self.graph.constant(given[0]) if given and given[0] else None
            qparams = self.qparams(layer.output)
            code = np.rint(np.float64(0.0 if value is None else value.item()) / qparams.scale) + qparams.zero_point
            del node.input[2:]
            padded = np.array(np.clip(code, 0, qparams.qmax), dtype=qparams.dtype)
            node.input.extend([self.constant(f"{node.name}/padded", padded), *after])
        for name in node.output:
            self._declare(name, self.qparams(name), name)
        self._nodes.append(node)

    def warn_if_wide(self, layer: Layer, weight: NDArray[np.int32], axis: int) -> None:
        """Note a layer whose worst sum does not fit the SOC's 32 bits."""
        taken = self.qparams(layer.first.input[0])
        others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
        factor = 4 if self.soc.requantization is Requantization.nna else 1
        reach = max(taken.zero_point, taken.qmax - taken.zero_point)
        worst = factor * reach * int(np.abs(weight.astype(np.int64)).sum(axis=others).max())
        if worst >= ACCUMULATOR_LIMIT:
            self._notes.append(
                f"{layer.name} ({layer.kind}): its sums may exceed a 32-bit accumulator "
                f"({np.log2(worst):.0f} bits at worst): use fewer feature or weight bits there"
            )

    # --- the rest ---

    def _declare(self, name: str, made: QuantParams | None, tensor: str) -> None:
        """Note the type of a new tensor; its shape is that of `tensor` in the float network."""
        given = self.graph.constants.get(tensor)
        shape = self.graph.shapes.get(tensor) if given is None else list(given.dims)
        kind = TensorProto.FLOAT if made is None else made.onnx_type
        if shape is not None:
            self._infos[name] = helper.make_tensor_value_info(name, kind, shape)

    def _clamp(self, layer: Layer | None, made: QuantParams) -> tuple[int, int]:
        """The codes that a fused activation lets through."""
        if layer is None or len(layer.nodes) == 1 or layer.gated:
            return 0, made.qmax
        bounds = np.array(clamp_bounds(self.graph, layer.nodes[-1]))[:, None] / made.scales + made.zero_point
        lows, highs = np.clip(np.rint(bounds), 0, made.qmax).astype(int)
        return int(lows.min()), int(highs.max())  # the same in every channel: placement sees to it

    def _constant_codes(self, name: str, qparams: QuantParams) -> None:
        value = self.graph.constant(name)
        assert value is not None
        codes = np.rint(value / np.float32(qparams.scale)).astype(np.float64) + qparams.zero_point
        stored = self.constant(f"{name}/stored", np.clip(codes, 0, qparams.qmax).astype(qparams.dtype))
        self._declare(self.coded(name), qparams, name)
        self.add("Constant", [stored], self.coded(name), qparams)

    def copy(self, source: onnx.NodeProto) -> None:
        """Add a node in float: its inputs and weights are dequantized, what it makes is quantized if it has codes."""
        node = onnx.NodeProto()
        node.CopyFrom(source)
        for index, name in enumerate(node.input):
            node.input[index] = self._float(name)
        if source.name in self._weights:
            node.input[1] = self._float_weight(self._weights[source.name])
        coded = [name for name in node.output if name in self._quant_params]
        for index, name in enumerate(node.output):
            node.output[index] = f"{name}/float" if name in coded else name
            if name in self._float_tensors:
                self._declare(node.output[index], None, name)
        self._nodes.append(node)
        for name in coded:
            self._declare(name, self._quant_params[name], name)
            self.add("Quantize", [f"{name}/float"], name, self._quant_params[name])

    def _float(self, tensor: str) -> str:
        """The float values of a tensor, dequantized once where it is made as codes."""
        if tensor not in self._quant_params or tensor in self.graph.constants:
            return tensor
        if tensor not in self._float_names:
            self._float_names[tensor] = f"{tensor}/dequantized"
            self._declare(self._float_names[tensor], None, tensor)
            self.add("Dequantize", [self.coded(tensor)], self._float_names[tensor], None)
        return self._float_names[tensor]

    def _float_weight(self, entry: WeightParams) -> str:
        values = dequantized(self._weight_codes[entry.node], entry.scales, entry.axis)
        return self.constant(f"{entry.node}/weight/dequantized", values)

    def _finish(self) -> onnx.ModelProto:
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
        opset = [*self.graph.model.opset_import, helper.make_opsetid(DOMAIN, VERSION)]
        result = helper.make_model(graph, opset_imports=opset, ir_version=self.graph.model.ir_version)
        onnx.checker.check_model(result)
        return result


# --- weighted operators ---


def _conv(to: _Lowering, layer: Layer) -> None:
    entry, codes = to.weight(layer)
    sliding = window(to.graph, layer.first, codes.shape[2:])
    _weighted(to, layer, "Conv", entry, codes, 0, group=attribute(layer.first, "group", 1), **sliding)


def _conv_transpose(to: _Lowering, layer: Layer) -> None:
    entry, codes = to.weight(layer)
    node, rank = layer.first, codes.ndim - 2
    extra = list(attribute(node, "output_padding", [0] * rank))
    sliding = window(to.graph, node, codes.shape[2:])
    group = attribute(node, "group", 1)
    _weighted(to, layer, "ConvTranspose", entry, codes, 1, group=group, output_padding=extra, **sliding)


def _mat_mul(to: _Lowering, layer: Layer) -> None:
    node = layer.first
    if node.input[1] not in to.graph.constants:
        left, right = (to.qparams(name) for name in node.input)
        effective_scale = left.scale * right.scale / to.qparams(layer.output).scale
        terms = to.graph.shapes[node.input[0]][-1]
        room = SUM_BITS - (left.qmax * right.qmax * terms).bit_length()
        _fixed(
            to, layer, "MatMulFeatures", node.input, [effective_scale], bits=min(rules.FIXED_BITS, room), terms=terms
        )
        return
    entry, codes = to.weight(layer)
    turned = node.op_type == "Gemm" and attribute(node, "transB", 0)
    _weighted(to, layer, "MatMul", entry, codes.T if turned else codes, -1)


def _weighted(
    to: _Lowering, layer: Layer, kind: str, entry: WeightParams, codes: NDArray[np.int32], axis: int, **sliding: Any
) -> None:
    """Add a weighted operator with the parameters of the SOC's rule."""
    node, taken = layer.first, to.qparams(layer.first.input[0])
    channels = to.graph.shapes[node.output[0]][axis if kind == "MatMul" else 1]
    scales = np.broadcast_to(np.asarray(entry.scales, dtype=np.float32), (channels,))
    bias = bias_of(to.graph, node)
    real = np.zeros(channels, dtype=np.float32) if bias is None else bias
    to.warn_if_wide(layer, codes, axis)
    stem = node.name
    stored = to.constant(f"{stem}/weight", codes.astype(np.int8 if entry.bits <= 8 else np.int16))
    made = to.qparams(layer.output) if to.has_codes(layer.output) else None
    taken_steps = spread(taken.scales, channels)
    products = taken_steps.astype(np.float32) * scales
    if made is None:
        rule, values = "float", [bias_codes(real, products), products]
    elif to.soc.requantization is Requantization.nna:
        made_steps = spread(made.scales, channels)
        parameters = rules.nna_parameters(taken_steps, scales, real, made_steps, made.zero_point, made.bits)
        rule, values = "nna", list(parameters)
    else:
        effective_scales = products.astype(np.float64) / spread(made.scales, channels)
        shift_only = to.soc.requantization is Requantization.shift
        choose = rules.shift_parameters if shift_only else rules.multiplier_shift_parameters
        rule, values = "multiplier_shift", [bias_codes(real, products), *choose(effective_scales)]
    # a float result is clamped by the activation itself, in float
    result = layer if made is not None else Layer(layer.kind, layer.nodes[:1])
    names = {"float": ("bias", "scale"), "nna": ("bias", "mult"), "multiplier_shift": ("bias", "multiplier", "shift")}
    constants = [to.constant(f"{stem}/{n}", v) for n, v in zip(names[rule], values, strict=True)]
    inputs = [to.coded(node.input[0]), stored, *constants]
    to.add(kind, inputs, result.output, made, result, rule=rule, **sliding)
    for activation in layer.nodes[len(result.nodes) :]:
        to.copy(activation)


# --- fixed-point operators ---


def _fixed(
    to: _Lowering,
    layer: Layer,
    kind: str,
    operands: Sequence[str],
    effective_scales: Sequence[float],
    bits: int = rules.FIXED_BITS,
    **more: Any,
) -> None:
    """Add an operator that multiplies by fixed-point gains."""
    multipliers, shift = rules.fixed_point(list(effective_scales), bits)
    inputs = [to.coded(name) for name in operands]
    made = to.qparams(layer.output)
    to.add(kind, inputs, layer.output, made, layer, multipliers=multipliers, shift=shift, **more)


def _effective_scales(to: _Lowering, layer: Layer) -> list[float]:
    """Each operand's scale in the output's; none for one that was always zero, whose scale says nothing."""
    made = to.qparams(layer.output)
    return [0.0 if name in to.zeros else to.qparams(name).scale / made.scale for name in layer.first.input]


def _add(to: _Lowering, layer: Layer) -> None:
    left, right = _effective_scales(to, layer)
    _fixed(to, layer, "Add", layer.first.input, [left, -right if layer.first.op_type == "Sub" else right])


def _mul(to: _Lowering, layer: Layer) -> None:
    left, right = (to.qparams(name).scale for name in layer.first.input)
    _fixed(to, layer, "Mul", layer.first.input, [left * right / to.qparams(layer.output).scale])


def _concat(to: _Lowering, layer: Layer) -> None:
    _fixed(to, layer, "Concat", layer.first.input, _effective_scales(to, layer), axis=attribute(layer.first, "axis"))


def _extreme(to: _Lowering, layer: Layer) -> None:
    _fixed(to, layer, layer.first.op_type, layer.first.input, _effective_scales(to, layer))


def _mean(to: _Lowering, layer: Layer) -> None:
    node, shape = layer.first, to.graph.shapes[layer.first.input[0]]
    axes, keepdims = list(range(2, len(shape))), 1
    if node.op_type == "ReduceMean":
        given = to.graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        listed = attribute(node, "axes", given.tolist() if given is not None else []) or range(len(shape))
        axes, keepdims = sorted(axis % len(shape) for axis in listed), attribute(node, "keepdims", 1)
    count = int(np.prod([shape[axis] for axis in axes]))
    effective_scale = to.qparams(node.input[0]).scale / (count * to.qparams(layer.output).scale)
    _fixed(to, layer, "Mean", node.input[:1], [effective_scale], axes=axes, keepdims=keepdims, terms=count)


def _average_pool(to: _Lowering, layer: Layer) -> None:
    node = layer.first
    kernel = list(attribute(node, "kernel_shape"))
    sliding = window(to.graph, node, kernel)
    counts = np.array(float(np.prod(kernel)))
    if any(sliding["pads"]) and not attribute(node, "count_include_pad", 0):
        counts = _counts(to.graph.shapes[node.input[0]][2:], kernel, **sliding)
    effective_scales = to.qparams(node.input[0]).scale / (counts * to.qparams(layer.output).scale)
    _, shift = rules.fixed_point([float(effective_scales.max())])
    multipliers = to.constant(f"{node.name}/multipliers", np.rint(effective_scales * 2.0**shift).astype(np.int32))
    inputs = [to.coded(node.input[0]), multipliers]
    to.add(
        "AveragePool", inputs, layer.output, to.qparams(layer.output), layer,
        kernel_shape=kernel, shift=shift, **sliding,
    )  # fmt: skip


def _counts(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]
) -> NDArray[np.float64]:
    """How many pixels each window of a padded pool covers: [*S out]."""
    counts = np.ones(())
    for i, length in enumerate(size):
        padded = np.pad(np.ones(length), (pads[i], pads[len(size) + i]))
        starts = range(0, len(padded) - dilations[i] * (kernel[i] - 1), strides[i])
        along = [padded[start : start + dilations[i] * (kernel[i] - 1) + 1 : dilations[i]].sum() for start in starts]
        counts = np.multiply.outer(counts, np.array(along))
    return counts


def _prelu(to: _Lowering, layer: Layer) -> None:
    node, made = layer.first, to.qparams(layer.output)
    slopes = to.graph.constant(node.input[1])
    assert slopes is not None
    effective_scale = to.qparams(node.input[0]).scale / made.scale
    effective_scales = slopes.astype(np.float64) * effective_scale
    (positive, *_), shift = rules.fixed_point([effective_scale, float(np.abs(effective_scales).max())])
    negative = to.constant(f"{node.name}/slopes", np.rint(effective_scales * 2.0**shift).astype(np.int32))
    inputs = [to.coded(node.input[0]), negative]
    to.add("PRelu", inputs, layer.output, made, layer, multipliers=[positive], shift=shift)


def _resize(to: _Lowering, layer: Layer) -> None:
    node = layer.first
    if attribute(node, "mode", b"nearest") != b"linear":
        to.move(layer)
        return
    way = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    before, after = to.graph.shapes[node.input[0]], to.graph.shapes[node.output[0]]
    given = to.graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    axes = [axis % len(before) for axis in attribute(node, "axes", range(len(before)))]
    scales = {} if given is None else dict(zip(axes, given.tolist(), strict=False))
    bits = weight_bits(to.qparams(layer.output).bits)
    rows, columns = (interpolation(before[i], after[i], way, bits, scales.get(i)) for i in (2, 3))
    names = [to.constant(f"{node.name}/{n}", v) for n, v in (("rows", rows), ("columns", columns))]
    made = to.qparams(layer.output)
    to.add("Resize", [to.coded(node.input[0]), *names], layer.output, made, layer, shift=2 * bits)


def _table(to: _Lowering, layer: Layer) -> None:
    node = layer.first
    taken, made = to.qparams(node.input[0]), to.qparams(layer.output)
    entries = table(to.graph, layer, taken, made).astype(made.dtype)
    inputs = [to.coded(node.input[0]), to.constant(f"{layer.name}/table", entries)]
    if layer.gated:
        inputs.append(to.constant(f"{layer.name}/inner", inner_values(to.graph, layer, taken)))
    to.add("Table", inputs, layer.output, made, layer)


_LOWERINGS: dict[str, Callable[[_Lowering, Layer], None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _mat_mul,
    "MatMul": _mat_mul,
    "Add": _add,
    "Sub": _add,
    "Mul": _mul,
    "Concat": _concat,
    "Max": _extreme,
    "Min": _extreme,
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "AveragePool": _average_pool,
    "PRelu": _prelu,
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys(PASS_CODES, _Lowering.move),
    "Resize": _resize,
}
