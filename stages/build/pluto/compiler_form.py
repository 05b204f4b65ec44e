"""Rewrites quantize's `quantized.onnx` into the form that the open T41 runtime's compiler reads.

The function stays the same: codes become signed, the range behind a ReLU or ReLU6 replaces it, a Gemm gets a transposed
weight and a bias, a picture whose zero point is not 0 passes a 1x1 convolution first. One step gives codes to what had
none, and the notes say so: the network's outputs get a range too (the vendor's unit returns float there, and for layers
in float).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.build.pluto.network_input import read_plainly
from stages.build.pluto.qdq_graph import BITS, QMAX, QMIN, QdqGraph
from stages.build.pluto.refusals import Concern, Effect, Refusal
from stages.build.pluto.rewrite import Rewrite
from stages.core.graph.onnx_graph import attribute, check_structure, infer_shapes
from stages.core.integer.network_params import NetworkParams

__all__ = ["settings_refusals", "to_compiler_form"]

WEIGHTED_TYPES = ("Conv", "ConvTranspose", "Gemm")
PROGRAM_TYPES = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "Reshape", "Flatten", "Squeeze")
"""Operators behind the last Gemm that are left to the user's program: with them the compiler would drop the Gemm."""
COMPOSE_COMMAND = "python -m stages.compose --keep"


def settings_refusals(params: NetworkParams) -> list[Refusal]:
    """List the settings of an experiment that the runtime does not have, in the experiment's own terms."""
    refusals = []

    def refuse(node: str, reason: str, override: str) -> None:
        cure = f"{COMPOSE_COMMAND} {override}"
        refusals.append(Refusal(node, "", Effect.compile, reason, cure, "README.md", Concern.settings))

    for feature in params.features:
        if feature.bits != BITS:
            reason = f"its output has {feature.bits} bits; the runtime has {BITS}"
            refuse(feature.node, reason, f"quant.feature_bits={BITS}")
        elif feature.channel_scales:
            refuse(feature.node, "its output has a scale a channel; the runtime has one", "quant.channel_scales=never")
    for weight in params.weights:
        if weight.bits != BITS:
            reason = f"its weight has {weight.bits} bits; the runtime has {BITS}"
            refuse(weight.node, reason, f"quant.weight_bits={BITS}")
        elif weight.axis is None:
            refuse(weight.node, "its weight has one scale; the runtime has one an output channel", "soc=t41")
    for node in params.float_nodes:
        override = "quant.skip_nodes=[] quant.skip_ops=[] quant.head=quantized"
        refuse(node, "stays in float; the runtime has no float layers", override)
    return refusals


def to_compiler_form(
    quantized: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> tuple[onnx.ModelProto, list[str]]:
    """Rewrite the quantized network.

    Args:
        quantized: quantize's network with 8 bits throughout (`settings_refusals` is empty); not changed.
        ranges: smallest and largest value seen of each float tensor, for the network's outputs.

    Returns:
        The network, and notes on the codes that changed. `find_refusals` tells whether the compiler accepts it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    rewrite = Rewrite(model, {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer})
    _make_codes_signed(rewrite)
    _quantize_results(rewrite, ranges)
    _fold_activations(rewrite)
    _cut_behind_last_gemm(rewrite)
    _normalize_gemms(rewrite)
    _keep_every_output(rewrite)
    _quantize_outputs(rewrite, ranges)
    read_plainly(rewrite)
    rewrite.graph()
    del model.graph.value_info[:]
    infer_shapes(model)
    check_structure(model)
    return model, rewrite.notes


def _make_codes_signed(rewrite: Rewrite) -> None:
    """Move features' codes from 0 .. 255 to -128 .. 127: in QDQ the type of the zero point alone says which."""
    quantizers = [node for node in rewrite.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for name in {node.input[2] for node in quantizers if len(node.input) > 2}:
        value = rewrite.constants[name]
        if value.dtype == np.uint8:
            rewrite.constants[name] = (value.astype(np.int16) + QMIN).astype(np.int8)


def _fold_activations(rewrite: Rewrite) -> None:
    """Leave out each Relu and Clip whose bounds are those of the codes behind it."""
    graph = rewrite.graph()
    folded = {}
    for node in graph.nodes:
        bounds = _clip_bounds(node, rewrite.constants)
        consumers = graph.consumers.get(node.output[0], [])
        producer = graph.producers.get(node.input[0]) if node.input else None
        if bounds is None or producer is None or producer.op_type == "DequantizeLinear":
            continue
        if len(consumers) != 1 or consumers[0].op_type != "QuantizeLinear" or len(graph.consumers[node.input[0]]) != 1:
            continue
        scale, zero_point = (rewrite.constants[name] for name in consumers[0].input[1:3])
        low, high = (np.rint(bound / np.float64(scale)) + zero_point for bound in bounds)
        if low <= QMIN and high >= QMAX:
            folded[node.output[0]] = node.input[0]
    kept = [node for node in rewrite.nodes if node.output[0] not in folded]
    for node in kept:
        for i, name in enumerate(node.input):
            node.input[i] = folded.get(name, name)
    rewrite.replace(kept)


def _clip_bounds(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> tuple[float, float] | None:
    """The bounds of a Relu or Clip; None for other operators and for bounds that are computed."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip" or any(name and name not in constants for name in node.input[1:]):
        return None
    low, high, *_ = [float(constants[name].item()) if name else None for name in node.input[1:]] + [None, None]
    return -np.inf if low is None else low, np.inf if high is None else high


def _cut_behind_last_gemm(rewrite: Rewrite) -> None:
    """End the network at its last Gemm if only functions of that Gemm's output follow."""
    graph = rewrite.graph()
    name = graph.outputs[0]
    behind, node = [], graph.producers.get(name)
    while node is not None and node.op_type in (*PROGRAM_TYPES, "QuantizeLinear", "DequantizeLinear"):
        behind.append(node)
        name = node.input[0]
        node = graph.producers.get(name)
    functions = [each.op_type for each in behind if not each.op_type.endswith("Linear")]
    if len(graph.outputs) > 1 or node is None or node.op_type != "Gemm" or not functions:
        return
    if behind[-1].op_type == "QuantizeLinear":  # the Gemm's own pair stays
        behind, name = behind[:-2], behind[-2].output[0]
    cut = {each.output[0] for each in behind}
    rewrite.replace(each for each in rewrite.nodes if each.output[0] not in cut)
    del rewrite.model.graph.output[:]
    rewrite.model.graph.output.append(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, graph.shapes.get(name))
    )
    rewrite.notes.append(f"ends at {name}: {', '.join(reversed(functions))} behind it is left to the program")


def _keep_every_output(rewrite: Rewrite) -> None:
    """Put a Sigmoid behind the first of several outputs if that comes straight off a convolution.

    The compiler takes such a network for a classifier, and keeps the first output alone. Behind another operator it
    looks for all last convolutions, and leaves the operator out.
    """
    qdq = QdqGraph(rewrite.graph())
    outputs = rewrite.model.graph.output
    name = qdq.graph.outputs[0]
    last = qdq.last_layer(name)
    if len(outputs) < 2 or last is None or last.op_type != "Conv":
        return
    end = f"{name}/end"
    rewrite.replace([*rewrite.nodes, helper.make_node("Sigmoid", [name], [end], end)])
    outputs[0].name = end
    rewrite.notes.append(
        f"a Sigmoid behind {name}, which the compiler leaves out, makes it keep all {len(outputs)} outputs"
    )


def _normalize_gemms(rewrite: Rewrite) -> None:
    """Store each Gemm's weight as [outputs, inputs], and give it a bias if it has none."""
    graph = rewrite.graph()
    for node in rewrite.nodes:
        weight = graph.producers.get(node.input[1]) if node.op_type == "Gemm" else None
        if weight is None or weight.op_type != "DequantizeLinear" or weight.input[0] not in rewrite.constants:
            continue
        if not attribute(node, "transB", 0):
            transposed = f"{weight.input[0]}/transposed"
            rewrite.constants[transposed] = np.ascontiguousarray(rewrite.constants[weight.input[0]].T)
            weight.input[0] = transposed
            _set_attribute(weight, "axis", 0)
            _set_attribute(node, "transB", 1)
        if len(node.input) < 3 or not node.input[2]:
            _add_zero_bias(rewrite, node, weight)


def _add_zero_bias(rewrite: Rewrite, node: onnx.NodeProto, weight: onnx.NodeProto) -> None:
    feature = next((each for each in rewrite.nodes if each.output[0] == node.input[0]), None)
    if feature is None or feature.op_type != "DequantizeLinear":
        return
    stem = f"{node.name or node.output[0]}/no_bias"
    scales = rewrite.constants[weight.input[1]].reshape(-1)
    rewrite.constants[f"{stem}/codes"] = np.zeros(len(scales), np.int32)
    rewrite.constants[f"{stem}/scale"] = rewrite.constants[feature.input[1]].reshape(()) * scales
    inputs = [f"{stem}/codes", f"{stem}/scale"]
    dequantizer = helper.make_node("DequantizeLinear", inputs, [f"{stem}/dequantized"], stem, axis=0)
    position = next(i for i, each in enumerate(rewrite.nodes) if each.output[0] == node.output[0])
    del node.input[2:]
    node.input.append(f"{stem}/dequantized")
    rewrite.replace([*rewrite.nodes[:position], dequantizer, *rewrite.nodes[position:]])


def _set_attribute(node: onnx.NodeProto, name: str, value: int) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _quantize_outputs(rewrite: Rewrite, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Quantize float outputs of the network: the runtime stores codes of every tensor."""
    qdq = QdqGraph(rewrite.graph())
    for name in qdq.outputs:
        if qdq.quantizers(name) or name not in ranges:
            continue
        low, high = _insert_pair(rewrite, name, ranges[name])
        rewrite.notes.append(
            f"{name} ends the network and is float; here it has 8 bits too, {low:g} to {high:g} as seen in calibration"
        )


def _quantize_results(rewrite: Rewrite, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Quantize what convolutions and Gemms return in float for a layer in float: that layer alone is to be refused."""
    qdq = QdqGraph(rewrite.graph())
    for node in rewrite.nodes:
        if node.op_type not in WEIGHTED_TYPES:
            continue
        name = node.output[0]
        consumers = qdq.graph.consumers.get(name, [])
        if len(consumers) == 1 and consumers[0].op_type in ("Relu", "Clip"):
            name = consumers[0].output[0]
        if name in ranges and name not in qdq.graph.outputs and not qdq.quantizers(name):
            _insert_pair(rewrite, name, ranges[name])


def _insert_pair(rewrite: Rewrite, name: str, seen: tuple[float, float]) -> tuple[float, float]:
    """Put a QuantizeLinear and a DequantizeLinear behind the node that gives a tensor.

    Returns:
        The range of the codes: what was seen, and 0.
    """
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    scale = np.float32((high - low) / (QMAX - QMIN) or 1.0)
    zero_point = np.int8(np.clip(np.rint(QMIN - low / np.float64(scale)), QMIN, QMAX))
    rewrite.constants |= {f"{name}/scale": np.asarray(scale), f"{name}/zero_point": np.asarray(zero_point)}
    qparams, codes = [f"{name}/scale", f"{name}/zero_point"], f"{name}/codes"
    pair = [
        helper.make_node("QuantizeLinear", [f"{name}/float", *qparams], [codes], f"{name}/QuantizeLinear"),
        helper.make_node("DequantizeLinear", [codes, *qparams], [name], f"{name}/DequantizeLinear"),
    ]
    nodes = []
    for node in rewrite.nodes:
        nodes.append(node)
        if name in node.output:
            node.output[list(node.output).index(name)] = f"{name}/float"
            nodes += pair
    rewrite.replace(nodes)
    return low, high
