"""Whether the open T41 runtime's compiler takes a network, and what the camera would make of it.

`check` reads any QDQ file. Facts: README.md, compile/ and runtime/ of github.com/inoop/t41-pluto (8f374b6), which was
read, not run on a camera.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx

from stages.build.pluto.edges import LAYERS, VIEWS, Edges
from stages.build.pluto.operators import (
    check_add,
    check_concat,
    check_focus,
    check_max_pool,
    check_mul,
    check_pool,
    check_resize,
)
from stages.build.pluto.refusals import RECIPE, Effect, Refusal, refusal
from stages.build.pluto.weighted import check_conv, check_gemm
from stages.core.graph.onnx_graph import Graph

__all__ = ["check", "fed_complement", "input_meaning"]

IMPORT = "compile/onnx_import.py"
MOST_LAYERS = 256  # runtime/plt_engine.h, PLT_MAX_LAYERS
QOPERATORS = ("QLinear", "QGemm", "QAttention", "QEmbed")
DYNAMIC = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
FOLDED = ("Relu", "Clip")
IMAGE_CHANNELS = 3
RULES: dict[str, Callable[[Edges, onnx.NodeProto], Iterator[Refusal]]] = {
    "Conv": check_conv,
    "Gemm": check_gemm,
    "Add": check_add,
    "Concat": check_concat,
    "MaxPool": check_max_pool,
    "Resize": check_resize,
    "GlobalAveragePool": check_pool,
    "Mul": check_mul,
}


def check(model: onnx.ModelProto) -> list[Refusal]:
    """List what keeps a QDQ network from the camera.

    Args:
        model: any ONNX network; not changed.

    Returns:
        Refusals in graph order, those of the file and its input first; empty if the compiler takes it and the runtime
        computes what the network says.
    """
    graph = Graph(model)
    if form := list(_form(graph)):
        return form
    edges = Edges(graph)
    found = [*_outputs(edges), *_inputs(edges)]
    for node in edges.nodes:
        if edges.is_focus(node):
            found += [*check_focus(edges, node), *_output(edges, node)]
        elif node.op_type in LAYERS:
            found += [*RULES[node.op_type](edges, node), *_features(edges, node), *_output(edges, node)]
        elif node.op_type not in ("Slice", "Sigmoid") or not _inside(edges, node):
            found.append(_unknown(node))
    layers = sum(node.op_type in LAYERS for node in edges.nodes) - _folded_silus(edges)
    if layers > MOST_LAYERS:
        reason = f"{layers} layers; the runtime holds {MOST_LAYERS}"
        found.append(Refusal(model.graph.name, "", Effect.load, reason, "a smaller network", "runtime/plt_engine.h"))
    return _cured(found)


def _cured(found: Sequence[Refusal]) -> list[Refusal]:
    """Quantizing anew leaves what is refused of the network itself: beside that, no cure gives the commands for it."""
    if all("quant" in entry.cure for entry in found):  # the recipe, or a key of the experiment
        return list(found)
    return [replace(entry, cure=entry.cure.removesuffix(f": {RECIPE}")) for entry in found]


def input_meaning(edges: Edges) -> onnx.NodeProto | None:
    """The QuantizeLinear whose codes the camera is fed: the input's own, else that of Focus's first slice."""
    own = edges.quantizers(edges.graph.inputs[0])
    if own:
        return own[0]
    for node in edges.nodes:
        if edges.is_focus(node):
            made = edges.graph.producers.get(node.input[0])
            return edges.graph.producers.get(made.input[0]) if made is not None and made.input else None
    return None


def fed_complement(edges: Edges) -> bool:
    """Whether the input's bytes are the codes themselves, two's complement, and not code + 128.

    So they are where a convolution of more than one pixel takes a picture (runtime/exec/plt_conv_k3.c and
    plt_conv_stem.c flip the top bit); Focus and 1x1 take code + 128 (compile/pack_input.py).
    """
    name = edges.graph.inputs[0]
    channels = edges.graph.shapes.get(name, [0, 0])[1]
    return channels <= IMAGE_CHANNELS and any(_flips(node) for node in edges.consumers(name))


def _flips(node: onnx.NodeProto) -> bool:
    kernel = next((list(entry.ints) for entry in node.attribute if entry.name == "kernel_shape"), [3, 3])
    return node.op_type == "Conv" and kernel != [1, 1]


def _form(graph: Graph) -> Iterator[Refusal]:
    """What makes the whole file one that is not read at all."""
    for node in graph.nodes:
        if node.op_type in DYNAMIC:
            reason = "quantizes while it runs; the compiler reads ranges that are in the file"
            yield refusal(node, Effect.compile, reason, f"static quantization: {RECIPE}", "README.md")
        elif node.op_type.startswith(QOPERATORS):
            reason = "is an operator on codes (QOperator form); the compiler reads QuantizeLinear and DequantizeLinear"
            yield refusal(node, Effect.compile, reason, f"the QDQ form: {RECIPE}", "README.md")
    if not any(node.op_type == "QuantizeLinear" for node in graph.nodes) and not any(
        node.op_type in DYNAMIC or node.op_type.startswith(QOPERATORS) for node in graph.nodes
    ):
        reason = "is a float network"
        yield Refusal(graph.model.graph.name, "", Effect.compile, reason, f"quantize it: {RECIPE}", "README.md")


def _outputs(edges: Edges) -> Iterator[Refusal]:
    """What the cut at the outputs would lose."""
    graph = edges.graph
    if edges.classifier:
        if len(graph.outputs) > 1:
            reason = f"is one of {len(graph.outputs)} outputs; the compiler keeps a classifier's last layer only"
            yield Refusal(graph.outputs[1], "", Effect.wrong, reason, "model.outputs=[one of them]", IMPORT)
        layers = [node for node in graph.nodes if node.op_type in LAYERS]
        if layers[-1].output[0] != edges.outputs[0]:
            reason = "comes last in the file; the compiler takes it for the network's output"
            yield refusal(layers[-1], Effect.wrong, reason, "leave out what the output does not need", IMPORT)
        return
    if not edges.outputs:
        reason = "no convolution: there is nothing to compile"
        yield Refusal(graph.outputs[0], "", Effect.compile, reason, "another network", IMPORT)
    seen, open_ = set[str](), list(graph.outputs)
    while open_:
        name = open_.pop()
        node = graph.producers.get(name)
        if node is None or name in seen or name in edges.outputs:
            continue
        seen.add(name)
        if node.op_type == "Gemm":
            reason = "is followed by other operators, so the compiler ends at the last convolutions and drops it"
            yield refusal(node, Effect.wrong, reason, f"end there: model.outputs=[{node.name or name}]", IMPORT)
        open_ += node.input


def _inputs(edges: Edges) -> Iterator[Refusal]:
    graph = edges.graph
    for name in graph.inputs[1:]:
        reason = "a second input; the compiler reads the first"
        yield Refusal(name, "", Effect.wrong, reason, "a network of one input", IMPORT)
    name = graph.inputs[0]
    shape = graph.shapes.get(name, [])
    if len(shape) != 4 or shape[0] != 1:
        reason = f"has the shape {shape or 'that is not fixed'}; 1, channels, height, width are what the compiler reads"
        yield Refusal(name, "", Effect.wrong, reason, "export with fixed sizes (the export stage does)", IMPORT)
        return
    quantizer = input_meaning(edges)
    meaning = edges.meaning(quantizer) if quantizer is not None and quantizer.op_type == "QuantizeLinear" else None
    if meaning is None:
        reason = "goes in without QuantizeLinear: its scale would be taken for 1"
        yield Refusal(name, "", Effect.wrong, reason, f"quantize the input: {RECIPE}", IMPORT)
        return
    yield from _kind(name, "", edges, quantizer)
    readers = [node for node in edges.consumers(name) if node.op_type != "Slice"]
    if fed_complement(edges):
        if not all(map(_flips, readers)):
            reason = "goes to a convolution and to something else, which read its bytes differently"
            yield Refusal(name, "", Effect.wrong, reason, "one first layer", "runtime/exec/plt_conv_k3.c")
        if meaning.per_tensor and meaning.zero != 0:
            reason = f"has the zero point {meaning.zero}; a picture that a convolution takes needs 0"
            cure = "a range symmetric about 0 for the input: quant.node_bits with MIN = -MAX (docs/pluto.md)"
            yield Refusal(name, "", Effect.wrong, reason, cure, "README.md, runtime/exec/plt_conv_stem.c")


def _kind(name: str, op_type: str, edges: Edges, quantizer: onnx.NodeProto | None) -> Iterator[Refusal]:
    """Whether a feature's codes are int8 with one scale."""
    meaning = edges.meaning(quantizer) if quantizer is not None else None
    if meaning is None:
        reason = "its scale or zero point is computed, not a constant"
        yield Refusal(name, op_type, Effect.compile, reason, f"static quantization: {RECIPE}", IMPORT)
    elif meaning.zero_point.dtype != np.int8:
        reason = f"its codes are {meaning.zero_point.dtype}; the compiler takes every zero point for int8's"
        yield Refusal(name, op_type, Effect.wrong, reason, f"int8 activations: {RECIPE}", "README.md")
    elif not meaning.per_tensor:
        reason = "has a scale a channel; the compiler reads one a tensor"
        yield Refusal(name, op_type, Effect.compile, reason, "quant.channel_scales=never", IMPORT)


def _features(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Whether each feature that a layer takes comes as codes, and as the codes that its maker leaves in memory."""
    for name in edges.activations(node):
        taken = edges.taken(name)
        if taken is None:
            reason = f"its input {name} does not come from a DequantizeLinear"
            yield refusal(node, Effect.compile, reason, f"a range for every feature: {RECIPE}", IMPORT)
            continue
        made = edges.quantizers(edges.source(name))
        meaning = edges.meaning(made[0]) if made else None
        if meaning is not None and not taken.agrees(meaning):
            reason = f"its input {name} has other codes than {edges.source(name)} is stored with"
            yield refusal(node, Effect.wrong, reason, f"one range a tensor: {RECIPE}", "compile/model_build.py")
        views = _views(edges, name)
        if views and node.op_type != "Gemm":
            reason = f"comes after {views[-1].op_type}, which the compiler takes for nothing"
            yield refusal(node, Effect.wrong, reason, "a network without reshaping before it", IMPORT)


def _views(edges: Edges, name: str) -> list[onnx.NodeProto]:
    """The views between a layer's input and its maker."""
    found = []
    node = edges.graph.producers.get(name)
    while node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear", *VIEWS):
        if node.op_type in VIEWS and node.op_type != "Identity":
            found.append(node)
        node = edges.graph.producers.get(node.input[0])
    return found


def _output(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Whether a layer's output has a range of its own, of the right kind."""
    name = node.name or node.output[0]
    made = edges.quantizers(node.output[0])
    if not made:
        after = edges.graph.consumers.get(node.output[0], [])
        folded = next((entry for entry in after if entry.op_type in FOLDED), None)
        if folded is not None:
            return  # named by itself, as what stands between
        reason = "its output has no QuantizeLinear: no range"
        yield refusal(node, Effect.compile, reason, f"a range for every feature: {RECIPE}", "README.md")
        return
    yield from _kind(name, node.op_type, edges, made[0])
    meanings = [edges.meaning(entry) for entry in made]
    if any(first and other and not first.agrees(other) for first, other in pairwise(meanings)):
        reason = "its output is quantized twice, differently; the compiler reads the first"
        yield refusal(node, Effect.wrong, reason, f"one range a tensor: {RECIPE}", IMPORT)


def _unknown(node: onnx.NodeProto) -> Refusal:
    if node.op_type in FOLDED:
        reason = "stands in the file; the compiler knows ReLU and ReLU6 only folded into the range of their output"
        cure = "a range that starts at 0 (and ends at the bound) right behind the layer before, and no such node"
        return refusal(node, Effect.compile, reason, cure, "README.md")
    reason = "is no operator of the runtime: the compiler leaves it out and fails on what follows"
    cure = "a network of convolutions, ReLU, SiLU, Add, Concat, MaxPool, 2x Resize, global average pool and Gemm"
    return refusal(node, Effect.compile, reason, cure, "README.md")


def _inside(edges: Edges, node: onnx.NodeProto) -> bool:
    """Whether a Slice is Focus's, a Sigmoid SiLU's."""
    return any(
        edges.is_focus(entry) if node.op_type == "Slice" else entry.op_type == "Mul" and edges.silu_input(entry)
        for entry in edges.consumers(node.output[0])
    )


def _folded_silus(edges: Edges) -> int:
    """SiLUs that become part of the convolution before them, whose output nothing else takes."""
    count = 0
    for node in edges.nodes:
        silu = edges.silu_input(node) if node.op_type == "Mul" else None
        made = edges.producer(silu) if silu is not None else None
        if made is not None and made.op_type == "Conv":
            count += {entry.op_type for entry in edges.consumers(made.output[0])} <= {"Mul", "Sigmoid"}
    return count
