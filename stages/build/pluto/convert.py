"""quantize's `quantized.onnx` in the form that the open T41 runtime's compiler takes.

The same function, written otherwise: codes signed, ReLU and ReLU6 left to the range behind them, a Gemm with its weight
transposed and a bias. Two things change a code, and the notes say so: what ends the network gets a range too (the
vendor's unit returns float there), and an input's zero point that is one off 0 is moved to 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.build.pluto.check import fed_complement
from stages.build.pluto.edges import Edges
from stages.build.pluto.refusals import Effect, Refusal
from stages.core.graph.onnx_graph import Graph, attribute, used_names
from stages.core.integer.qparams import NetworkParams

__all__ = ["BITS", "convert", "unsuited"]

BITS = 8
CODES = 255
LOWEST, HIGHEST = -128, 127
LAST = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "Reshape", "Flatten", "Squeeze")
"""Operators behind the last Gemm that are left to the program: the compiler would drop the Gemm with them."""
COMPOSE = "python -m stages.compose --keep"


def unsuited(params: NetworkParams) -> list[Refusal]:
    """What an experiment chose that the runtime has not, in the experiment's own terms."""
    found = []

    def refuse(node: str, reason: str, override: str) -> None:
        found.append(Refusal(node, "", Effect.compile, reason, f"{COMPOSE} {override}", "README.md"))

    for entry in params.features:
        if entry.bits != BITS:
            refuse(
                entry.node, f"its output has {entry.bits} bits; the runtime takes {BITS}", f"quant.feature_bits={BITS}"
            )
        elif entry.channel_scales:
            refuse(entry.node, "its output has a scale a channel; the runtime takes one", "quant.channel_scales=never")
    for weight in params.weights:
        if weight.bits != BITS:
            refuse(
                weight.node, f"its weight has {weight.bits} bits; the runtime takes {BITS}", f"quant.weight_bits={BITS}"
            )
        elif weight.axis is None:
            refuse(weight.node, "its weight has one scale; the runtime takes one an output channel", "soc=t41")
    for node in params.float_nodes:
        refuse(
            node,
            "stays in float; the runtime has no float layers",
            "quant.skip_nodes=[] quant.skip_ops=[] quant.head=quantized",
        )
    return found


@dataclass
class _Draft:
    """The network while it is rewritten."""

    model: onnx.ModelProto
    constants: dict[str, NDArray[Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        return list(self.model.graph.node)

    def replace(self, nodes: Iterable[onnx.NodeProto]) -> None:
        kept = list(nodes)
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)

    def graph(self) -> Graph:
        """The network as it stands."""
        used = used_names(self.model.graph.node)
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name) for name, value in self.constants.items() if name in used
        )
        return Graph(self.model)


def convert(quantized: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> tuple[onnx.ModelProto, list[str]]:
    """Rewrite the quantized network.

    Args:
        quantized: what quantize wrote, with 8 bits throughout (`unsuited` gives nothing); not changed.
        ranges: smallest and largest value seen of each float tensor, for those that end the network.

    Returns:
        The network, and what about its codes is not as before. Whether the compiler takes it `check` says.
    """
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    candidate = _Draft(model, {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer})
    _sign(candidate)
    _fold(candidate)
    _end(candidate)
    _shape_gemms(candidate)
    _give_ranges(candidate, ranges)
    _move_input(candidate)
    candidate.graph()
    del model.graph.value_info[:]
    result = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(result)
    return result, candidate.notes


def _sign(candidate: _Draft) -> None:
    """Features' codes from 0 .. 255 to -128 .. 127: the zero points alone say which."""
    quantizers = [node for node in candidate.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for name in {node.input[2] for node in quantizers if len(node.input) > 2}:
        value = candidate.constants[name]
        if value.dtype == np.uint8:
            candidate.constants[name] = (value.astype(np.int16) + LOWEST).astype(np.int8)


def _fold(candidate: _Draft) -> None:
    """Leave out each Relu and Clip whose bounds the codes behind it have anyway."""
    graph = candidate.graph()
    moved = {}
    for node in graph.nodes:
        bounds = _bounds(node, candidate.constants)
        after = graph.consumers.get(node.output[0], [])
        before = graph.producers.get(node.input[0]) if node.input else None
        if bounds is None or before is None or before.op_type == "DequantizeLinear":
            continue
        if len(after) != 1 or after[0].op_type != "QuantizeLinear" or len(graph.consumers[node.input[0]]) != 1:
            continue
        scale, zero = (candidate.constants[name] for name in after[0].input[1:3])
        low, high = (np.rint(bound / np.float64(scale)) + zero for bound in bounds)
        if low <= LOWEST and high >= HIGHEST:
            moved[node.output[0]] = node.input[0]
    kept = [node for node in candidate.nodes if node.output[0] not in moved]
    for node in kept:
        for i, name in enumerate(node.input):
            node.input[i] = moved.get(name, name)
    candidate.replace(kept)


def _bounds(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> tuple[float, float] | None:
    """What a Relu or Clip cuts at; None for other operators and for bounds that are computed."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip" or any(name and name not in constants for name in node.input[1:]):
        return None
    given = [float(constants[name]) if name else None for name in node.input[1:]] + [None, None]
    low, high = given[:2]
    return -np.inf if low is None else low, np.inf if high is None else high


def _end(candidate: _Draft) -> None:
    """End at the last Gemm where functions of its output alone follow."""
    graph = candidate.graph()
    name = graph.outputs[0]
    left, node = [], graph.producers.get(name)
    while node is not None and node.op_type in (*LAST, "QuantizeLinear", "DequantizeLinear"):
        left.append(node)
        name = node.input[0]
        node = graph.producers.get(name)
    functions = [entry.op_type for entry in left if not entry.op_type.endswith("Linear")]
    if len(graph.outputs) > 1 or node is None or node.op_type != "Gemm" or not functions:
        return
    if left[-1].op_type == "QuantizeLinear":
        left, name = left[:-2], left[-2].output[0]
    candidate.replace(entry for entry in candidate.nodes if not any(entry.output[0] == cut.output[0] for cut in left))
    del candidate.model.graph.output[:]
    candidate.model.graph.output.append(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, graph.shapes.get(name))
    )
    candidate.notes.append(f"ends at {name}: {', '.join(reversed(functions))} behind it is left to the program")


def _shape_gemms(candidate: _Draft) -> None:
    """Each Gemm's weight as [outputs, inputs], and a bias."""
    graph = candidate.graph()
    for node in candidate.nodes:
        weight = graph.producers.get(node.input[1]) if node.op_type == "Gemm" else None
        if weight is None or weight.op_type != "DequantizeLinear" or weight.input[0] not in candidate.constants:
            continue
        if not attribute(node, "transB", 0):
            stored = f"{weight.input[0]}/transposed"
            candidate.constants[stored] = np.ascontiguousarray(candidate.constants[weight.input[0]].T)
            weight.input[0] = stored
            _set(weight, "axis", 0)
            _set(node, "transB", 1)
        if len(node.input) < 3 or not node.input[2]:
            _add_bias(candidate, node, weight)


def _add_bias(candidate: _Draft, node: onnx.NodeProto, weight: onnx.NodeProto) -> None:
    feature = next((entry for entry in candidate.nodes if entry.output[0] == node.input[0]), None)
    if feature is None or feature.op_type != "DequantizeLinear":
        return
    stem = f"{node.name or node.output[0]}/no_bias"
    scales = candidate.constants[weight.input[1]].reshape(-1)
    candidate.constants[f"{stem}/codes"] = np.zeros(len(scales), np.int32)
    candidate.constants[f"{stem}/scale"] = candidate.constants[feature.input[1]].reshape(()) * scales
    inputs = [f"{stem}/codes", f"{stem}/scale"]
    made = helper.make_node("DequantizeLinear", inputs, [f"{stem}/dequantized"], stem, axis=0)
    position = next(i for i, entry in enumerate(candidate.nodes) if entry.output[0] == node.output[0])
    del node.input[2:]
    node.input.append(f"{stem}/dequantized")
    candidate.replace([*candidate.nodes[:position], made, *candidate.nodes[position:]])


def _set(node: onnx.NodeProto, name: str, value: int) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _give_ranges(candidate: _Draft, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Quantize what ends the network and is float: the runtime stores codes of everything."""
    edges = Edges(candidate.graph())
    for name in edges.outputs:
        if edges.quantizers(name) or name not in ranges:
            continue
        low, high = min(ranges[name][0], 0.0), max(ranges[name][1], 0.0)
        scale = np.float32((high - low) / CODES or 1.0)
        zero = np.int8(np.clip(np.rint(LOWEST - low / np.float64(scale)), LOWEST, HIGHEST))
        candidate.constants |= {f"{name}/scale": np.asarray(scale), f"{name}/zero_point": np.asarray(zero)}
        settings = [f"{name}/scale", f"{name}/zero_point"]
        pair = [
            helper.make_node(
                "QuantizeLinear", [f"{name}/float", *settings], [f"{name}/codes"], f"{name}/QuantizeLinear"
            ),
            helper.make_node("DequantizeLinear", [f"{name}/codes", *settings], [name], f"{name}/DequantizeLinear"),
        ]
        nodes = []
        for node in candidate.nodes:
            nodes.append(node)
            if name in node.output:
                node.output[list(node.output).index(name)] = f"{name}/float"
                nodes += pair
        candidate.replace(nodes)
        candidate.notes.append(
            f"{name} ends the network and is float; here it has 8 bits too, {low:g} to {high:g} as seen"
        )


def _move_input(candidate: _Draft) -> None:
    """Move the input's zero point to 0 where it is one off; one code at the end of the range is lost."""
    edges = Edges(candidate.graph())
    made = edges.quantizers(edges.graph.inputs[0])
    if len(made) != 1 or not fed_complement(edges):
        return
    name = made[0].input[2]
    zero = int(candidate.constants[name])
    if abs(zero) != 1 or sum(name in node.input for node in candidate.nodes) != 2:
        return
    candidate.constants[name] = np.asarray(np.int8(0))
    end, code = ("largest", HIGHEST) if zero < 0 else ("smallest", LOWEST)
    candidate.notes.append(
        f"{edges.graph.inputs[0]}: zero point moved from {zero} to 0, as the runtime needs it; "
        f"the {end} value, which would be {code - zero}, has the code {code}"
    )
