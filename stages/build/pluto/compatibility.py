"""Whether the open T41 runtime accepts a network: its compiler, and the runtime on the camera.

`find_refusals` reads any QDQ file. Facts: README.md, compile/ and runtime/ of github.com/inoop/t41-pluto (8f374b6),
which was read, not run on a camera.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import onnx

from stages.build.pluto.network_input import input_is_twos_complement, input_quantizer, reads_twos_complement
from stages.build.pluto.qdq_graph import LAYER_TYPES, QDQ_TYPES, VIEW_TYPES, QdqGraph
from stages.build.pluto.refusals import ONNX_IMPORT, Concern, Effect, Refusal, refusal, with_recipe
from stages.build.pluto.unweighted_rules import (
    check_add,
    check_concat,
    check_focus,
    check_max_pool,
    check_mul,
    check_pool,
    check_resize,
)
from stages.build.pluto.weighted_rules import check_conv, check_gemm
from stages.core.graph.onnx_graph import Graph

__all__ = ["find_refusals", "operator_refusals"]

MAX_LAYERS = 256  # runtime/plt_engine.h, PLT_MAX_LAYERS
QOPERATOR_PREFIXES = ("QLinear", "QGemm", "QAttention", "QEmbed")
DYNAMIC_TYPES = (
    "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
)  # fmt: skip
NO_DECODING = (
    "MatMul", "ReduceMean", "GlobalAveragePool", "AveragePool", "GlobalMaxPool", "MaxPool", "LSTM", "GRU", "Tanh",
    "LayerNormalization",
)  # fmt: skip
"""Layers of a network: what a program does with a detector's outputs has none of them."""
FOLDED_TYPES = ("Relu", "Clip")
"""Activations that the compiler knows as a range of the layer before only."""
KNOWN_TYPES = {*LAYER_TYPES, *FOLDED_TYPES, *VIEW_TYPES, *QDQ_TYPES, "Slice", "Sigmoid", "Div"}
"""Operators that are a layer, or a part of one where they stand right; a Div gives channels their scales."""
LAYER_RULES: dict[str, Callable[[QdqGraph, onnx.NodeProto], Iterator[Refusal]]] = {
    "Conv": check_conv,
    "Gemm": check_gemm,
    "Add": check_add,
    "Concat": check_concat,
    "MaxPool": check_max_pool,
    "Resize": check_resize,
    "GlobalAveragePool": check_pool,
    "Mul": check_mul,
}


def find_refusals(model: onnx.ModelProto) -> list[Refusal]:
    """List the reasons why the camera cannot run a network.

    Args:
        model: any ONNX network; not changed.

    Returns:
        Refusals in graph order, those of the file and its input first; empty if the compiler accepts the network and
        the runtime computes what the network says.
    """
    graph = Graph(model)
    return with_recipe(list(_check_form(graph)) or list(_check_qdq(QdqGraph(graph))))


def operator_refusals(model: onnx.ModelProto) -> list[Refusal]:
    """List the operators before a convolution or a Gemm that the runtime has not, however they are quantized.

    Args:
        model: any ONNX network; not changed.
    """
    leading, unknown = set[str](), []
    for node in reversed(Graph(model).nodes):
        if node.op_type in ("Conv", "Gemm") or not leading.isdisjoint(node.output):
            leading.update(node.input)
            if node.op_type not in KNOWN_TYPES:
                unknown.append(_unknown_operator(node))
    return unknown[::-1]


def _check_form(graph: Graph) -> Iterator[Refusal]:
    """Refusals of a file that is not QDQ: none of it is read."""
    other_forms = False
    for node in graph.nodes:
        if node.op_type in DYNAMIC_TYPES:
            reason = "quantizes while it runs; the compiler reads ranges that are in the file"
            yield refusal(node, Effect.compile, reason, "static quantization", "README.md", Concern.form)
            other_forms = True
        elif node.op_type.startswith(QOPERATOR_PREFIXES):
            reason = "is an operator on codes (QOperator form); the compiler reads QuantizeLinear and DequantizeLinear"
            yield refusal(node, Effect.compile, reason, "the QDQ form", "README.md", Concern.form)
            other_forms = True
    if not other_forms and not any(node.op_type == "QuantizeLinear" for node in graph.nodes):
        name = graph.model.graph.name
        yield Refusal(name, "", Effect.compile, "is a float network", "quantize it", "README.md", Concern.form)


def _check_qdq(qdq: QdqGraph) -> Iterator[Refusal]:
    """Refusals of a QDQ network: its outputs and inputs, then its nodes."""
    yield from _check_outputs(qdq)
    yield from _check_inputs(qdq)
    for node in qdq.nodes:
        if qdq.is_focus(node):
            yield from check_focus(qdq, node)
            yield from _check_layer_output(qdq, node)
        elif node.op_type in LAYER_TYPES:
            yield from LAYER_RULES[node.op_type](qdq, node)
            yield from _check_layer_inputs(qdq, node)
            yield from _check_layer_output(qdq, node)
        elif node.op_type not in ("Slice", "Sigmoid") or not _is_part_of_layer(qdq, node):
            yield _unknown_operator(node)
    layers = sum(node.op_type in LAYER_TYPES for node in qdq.nodes) - _count_folded_silus(qdq)
    if layers > MAX_LAYERS:
        name, reason = qdq.graph.model.graph.name, f"{layers} layers; the runtime holds {MAX_LAYERS}"
        yield Refusal(name, "", Effect.load, reason, "a smaller network", "runtime/plt_engine.h")


# --- outputs and inputs of the network --------------------------------------------------------------------------


def _check_outputs(qdq: QdqGraph) -> Iterator[Refusal]:
    """What is lost since the compiler ends at its own choice of outputs, and since the runtime frees what is read."""
    yield from _check_classifier_output(qdq) if qdq.classifier else _check_detector_outputs(qdq)
    compiled = {id(node) for node in qdq.nodes}
    for name in qdq.outputs:
        readers = [node for node in qdq.consumers(name) if id(node) in compiled]
        if readers:
            reader = readers[0].name or readers[0].output[0]
            reason = f"is an output that {reader} reads too; the runtime frees its memory behind the last reader"
            cure = "an output that no layer reads: a 1x1 convolution that copies it"
            yield refusal(qdq.graph.producers[name], Effect.wrong, reason, cure, "runtime/plt_engine.c")


def _check_classifier_output(qdq: QdqGraph) -> Iterator[Refusal]:
    graph = qdq.graph
    if len(graph.outputs) > 1:
        reason = f"is one of {len(graph.outputs)} outputs; the compiler keeps a classifier's last layer only"
        yield Refusal(graph.outputs[1], "", Effect.wrong, reason, "model.outputs=[one of them]", ONNX_IMPORT)
    last_in_file = [node for node in graph.nodes if node.op_type in LAYER_TYPES][-1]
    if last_in_file.output[0] != qdq.outputs[0]:
        reason = "comes last in the file; the compiler reads it as the network's output"
        yield refusal(last_in_file, Effect.wrong, reason, "leave out what the output does not need", ONNX_IMPORT)


def _check_detector_outputs(qdq: QdqGraph) -> Iterator[Refusal]:
    graph = qdq.graph
    if not qdq.outputs:
        reason = "no convolution: there is nothing to compile"
        yield Refusal(graph.outputs[0], "", Effect.compile, reason, "a network that has one", ONNX_IMPORT)
    for node in _dropped(qdq):
        if node.op_type == "Gemm":
            reason = "is followed by other operators, so the compiler ends at the last convolutions and drops it"
            cure = f"end there: model.outputs=[{node.name or node.output[0]}]"
            yield refusal(node, Effect.wrong, reason, cure, ONNX_IMPORT)
        elif node.op_type in NO_DECODING:
            reason = "lies behind the last convolutions, where the compiler ends: it is dropped"
            cure = (
                "for a classifier a GlobalAveragePool and a Gemm at the end, else model.outputs=[the last convolutions]"
            )
            yield refusal(node, Effect.wrong, reason, cure, ONNX_IMPORT)


def _dropped(qdq: QdqGraph) -> Iterator[onnx.NodeProto]:
    """The nodes between a detector's last convolutions and the file's outputs: a program's decoding, if all is well."""
    seen, pending = set[str](), list(qdq.graph.outputs)
    while pending:
        name = pending.pop()
        node = qdq.graph.producers.get(name)
        if node is None or name in seen or name in qdq.outputs:
            continue
        seen.add(name)
        yield node
        pending += node.input


def _check_inputs(qdq: QdqGraph) -> Iterator[Refusal]:
    graph = qdq.graph
    for name in graph.inputs[1:]:
        reason = "a second input; the compiler reads the first"
        yield Refusal(name, "", Effect.wrong, reason, "a network of one input", ONNX_IMPORT)
    name = graph.inputs[0]
    shape = graph.shapes.get(name, [])
    if len(shape) != 4 or shape[0] != 1:
        reason = f"has the shape {shape or 'that is not fixed'}; the compiler reads 1, channels, height, width"
        cure = "export with fixed sizes (the export stage does)"
        yield Refusal(name, "", Effect.wrong, reason, cure, ONNX_IMPORT)
        return
    quantizer = input_quantizer(qdq)
    qparams = qdq.qparams(quantizer) if quantizer is not None else None
    if quantizer is None or qparams is None:
        reason = "goes in without QuantizeLinear: its scale would be read as 1"
        yield Refusal(name, "", Effect.wrong, reason, "quantize the input", ONNX_IMPORT, Concern.form)
        return
    yield from _check_code_type(name, "", qdq, quantizer)
    if not input_is_twos_complement(qdq):
        return
    if not all(reads_twos_complement(qdq, node) for node in qdq.consumers(name)):
        reason = "goes to a convolution and to something else, which read its bytes differently"
        yield Refusal(name, "", Effect.wrong, reason, "one first layer", "runtime/exec/plt_conv_k3.c")
    if qparams.per_tensor and qparams.tensor_zero_point != 0:
        reason = f"has the zero point {qparams.tensor_zero_point}; a picture that a convolution reads needs 0"
        cure = "a 1x1 convolution to 4 channels before it"
        source = "README.md, runtime/exec/plt_conv_stem.c"
        yield Refusal(name, "", Effect.wrong, reason, cure, source, Concern.form)


# --- features of a layer ----------------------------------------------------------------------------------------


def _check_code_type(name: str, op_type: str, qdq: QdqGraph, quantizer: onnx.NodeProto) -> Iterator[Refusal]:
    """Whether a feature's codes are int8 with one scale."""
    qparams = qdq.qparams(quantizer)
    if qparams is None:
        reason = "its scale or zero point is computed, not a constant"
        yield Refusal(name, op_type, Effect.compile, reason, "static quantization", ONNX_IMPORT, Concern.form)
    elif qparams.zero_point.dtype != np.int8:
        reason = f"its codes are {qparams.zero_point.dtype}; the compiler reads every zero point as int8"
        yield Refusal(name, op_type, Effect.wrong, reason, "int8 activations", "README.md", Concern.form)
    elif qparams.per_tensor and (qparams.scale.ndim or qparams.zero_point.ndim):
        reason = (
            "its scale or zero point is a list of one; the compiler wants a number, and NumPy from 2.4 on stops there"
        )
        yield Refusal(name, op_type, Effect.compile, reason, "scalars", ONNX_IMPORT, Concern.form)
    elif not qparams.per_tensor:
        reason, cure = "has a scale a channel; the compiler reads one a tensor", "quant.channel_scales=never"
        yield Refusal(name, op_type, Effect.compile, reason, cure, ONNX_IMPORT, Concern.settings)


def _check_layer_inputs(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Whether each feature that a layer reads comes as codes, and as the codes that its producer stores."""
    for name in qdq.feature_inputs(node):
        read = qdq.input_qparams(name)
        if read is None:
            reason = f"its input {name} does not come from a DequantizeLinear"
            yield refusal(node, Effect.compile, reason, "a range for every feature", ONNX_IMPORT, Concern.form)
            continue
        stored = qdq.stored_qparams(qdq.source(name))
        if stored is not None and not read.same_as(stored):
            reason = f"its input {name} has other codes than {qdq.source(name)} is stored with"
            yield refusal(node, Effect.wrong, reason, "one range a tensor", "compile/model_build.py", Concern.form)
        views = qdq.views_before(name)
        if views and node.op_type != "Gemm":
            reason = f"comes after {views[-1].op_type}, which the compiler skips"
            yield refusal(node, Effect.wrong, reason, "a network without reshaping before it", ONNX_IMPORT)


def _check_layer_output(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Whether a layer's output has a range of its own, of the right kind."""
    name = node.name or node.output[0]
    quantizers = qdq.quantizers(node.output[0])
    if not quantizers:
        consumers = qdq.graph.consumers.get(node.output[0], [])
        if any(consumer.op_type in FOLDED_TYPES for consumer in consumers):
            return  # the activation between has a refusal of its own
        reason = "its output has no QuantizeLinear: no range"
        yield refusal(node, Effect.compile, reason, "a range for every feature", "README.md", Concern.form)
        return
    yield from _check_code_type(name, node.op_type, qdq, quantizers[0])
    qparams = [qdq.qparams(quantizer) for quantizer in quantizers]
    if any(first and other and not first.same_as(other) for first, other in pairwise(qparams)):
        reason = "its output is quantized twice, differently; the compiler reads the first"
        yield refusal(node, Effect.wrong, reason, "one range a tensor", ONNX_IMPORT, Concern.form)


# --- operators that are no layers -------------------------------------------------------------------------------


def _unknown_operator(node: onnx.NodeProto) -> Refusal:
    if node.op_type in FOLDED_TYPES:
        reason = "stands in the file; the compiler knows ReLU and ReLU6 only folded into the range of their output"
        cure = "a range that starts at 0 (and ends at the bound) right behind the layer before, and no such node"
        return refusal(node, Effect.compile, reason, cure, "README.md")
    reason = "is no operator of the runtime: the compiler leaves it out and fails on what follows"
    cure = "a network of convolutions, ReLU, SiLU, Add, Concat, MaxPool, 2x Resize, global average pool and Gemm"
    return refusal(node, Effect.compile, reason, cure, "README.md")


def _is_part_of_layer(qdq: QdqGraph, node: onnx.NodeProto) -> bool:
    """Whether a Slice belongs to a Focus, a Sigmoid to a SiLU."""
    return any(
        qdq.is_focus(consumer)
        if node.op_type == "Slice"
        else consumer.op_type == "Mul" and qdq.silu_input(consumer) is not None
        for consumer in qdq.consumers(node.output[0])
    )


def _count_folded_silus(qdq: QdqGraph) -> int:
    """Count the SiLUs that become part of the convolution before them, because nothing else reads its output."""
    count = 0
    for node in qdq.nodes:
        silu_input = qdq.silu_input(node) if node.op_type == "Mul" else None
        producer = qdq.producer(silu_input) if silu_input is not None else None
        if producer is not None and producer.op_type == "Conv":
            consumers = {consumer.op_type for consumer in qdq.consumers(producer.output[0])}
            count += consumers <= {"Mul", "Sigmoid"}
    return count
