"""Reading a quantized network as the float network that it means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from stages.core.base.console import counted
from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph, output_name, used_names
from stages.export.dequantize import dynamic, qdq, qlinear
from stages.export.dequantize.codes import Codes, FeatureRange
from stages.export.dequantize.rewriter import REMEDY, Rewriter

__all__ = ["Dequantized", "dequantized", "is_quantized", "node_ranges"]

RULES = {**qdq.RULES, **qlinear.RULES, **dynamic.RULES}
FORMS = {
    "QDQ": {"QuantizeLinear", "DequantizeLinear"},
    "QOperator": set(qlinear.RULES),
    "dynamic": {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    },
}
"""Forms of quantized networks -> operators by which they are known."""
WITHOUT_RULE = {
    "BiasSplitGelu", "DecoderMaskedSelfAttention", "GatherBlockQuantized", "MatMulBnb4", "MatMulFpQ4", "MatMulNBits",
    "QAttention", "QEmbedLayerNormalization", "QMoE", "QOrderedAttention", "QOrderedGelu", "QOrderedMatMul",
}  # fmt: skip
"""Operators on codes that have no rule here."""
FUSED = {"Clip", "HardSigmoid", "LeakyRelu", "PRelu", "Relu"}
"""Activations that a layer's range belongs behind."""


@dataclass(frozen=True)
class Dequantized:
    """The float network that a quantized one means.

    Attributes:
        model: the network.
        form: QDQ, QOperator, dynamic, or several.
        ranges: float tensor -> range of the codes that it had.
        weights: how many constants were codes.
        activations: how many Relu and Clip were written, whose place the ends of a range had taken.
        codes: inputs and outputs of the network that were codes -> their parameters.
    """

    model: onnx.ModelProto
    form: str
    ranges: Mapping[str, FeatureRange]
    weights: int
    activations: int
    codes: Mapping[str, Codes]

    def lines(self, name: str) -> list[str]:
        """Describe what was undone; `name` is the file's."""
        features = f"{counted(len(self.ranges), 'feature')}, {counted(self.weights, 'constant')}"
        lines = [f"{name} is quantized ({self.form}: {features}): it is read as the float network that it stands for"]
        if self.activations:
            lines.append(
                f"{counted(self.activations, 'activation')} restored: codes that start at 0, or end at 6, had taken "
                "the place of Relu and Clip"
            )
        fed = {info.name for info in self.model.graph.input}
        for tensor, codes in self.codes.items():
            if tensor not in fed:
                continue
            assert codes.scale is not None
            assert codes.zero_point is not None
            zero, scale = float(codes.zero_point.reshape(-1)[0]), float(codes.scale.reshape(-1)[0])
            signed = tensor in self.ranges and round(self.ranges[tensor].low / scale + zero) < 0
            pixels, mean = ("pixels less 128", zero + 128) if signed else ("pixels", zero)
            lines.append(
                f"input {tensor!r} took codes and takes real values now, (code - {zero:g}) * {scale:g}: where codes "
                f"were {pixels}, give model.inputs mean: [{mean:g}], normal: [{1 / scale:g}]"
            )
        return lines


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether some operator of a network computes or reads integer codes."""
    return bool(_forms(model.graph))


def dequantized(model: onnx.ModelProto) -> Dequantized:
    """Write the float network that a quantized network means.

    Weights that are stored as codes get their exact real values, rounded to float32 once. Features are not rounded.

    Args:
        model: the source; not changed.

    Raises:
        UserError: naming the first operator whose float meaning is not exact, or not known.
    """
    for node in _all_nodes(model.graph):
        if node.op_type in WITHOUT_RULE:
            raise UserError(f"{node.name or node.output[0]} ({node.op_type}) is quantized: {REMEDY}")
    inner = next((form for node in model.graph.node for body in _bodies(node) for form in _forms(body)), None)
    if inner is not None:
        raise UserError(f"the body of an If, Loop or Scan is quantized ({inner}): {REMEDY}")
    rewriter = Rewriter(model, RULES)
    rewriter.run()
    result = _finished(rewriter)
    codes = {
        info.name: known
        for info in (*model.graph.input, *model.graph.output)
        if (known := rewriter.codes.get(info.name)) is not None and known.scale is not None
    }
    forms = ", ".join(_forms(model.graph))
    return Dequantized(result, forms, rewriter.ranges, rewriter.weights, rewriter.activations, codes)


def _forms(graph: onnx.GraphProto) -> list[str]:
    kinds = {node.op_type for node in _all_nodes(graph)}
    return [form for form, operators in FORMS.items() if kinds & operators] or (
        ["operators of its own"] if kinds & WITHOUT_RULE else []
    )


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the bodies in it."""
    for node in graph.node:
        yield node
        for body in _bodies(node):
            yield from _all_nodes(body)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH]


def _finished(rewriter: Rewriter) -> onnx.ModelProto:
    """The written network: outputs under their names, without what nothing needs any more."""
    _name_outputs(rewriter)
    result = onnx.ModelProto()
    result.CopyFrom(rewriter.model)
    graph = result.graph
    for info in (*graph.input, *graph.output):
        if info.name in rewriter.codes:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    needed, kept = {info.name for info in graph.output}, list[onnx.NodeProto]()
    for node in reversed(rewriter.nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= used_names([node])
    tensors = {**{tensor.name: tensor for tensor in graph.initializer}, **rewriter.written}
    del graph.node[:], graph.initializer[:], graph.value_info[:], graph.quantization_annotation[:]
    graph.node.extend(kept[::-1])
    graph.initializer.extend(tensor for name, tensor in tensors.items() if name in needed)
    domains = {node.domain for node in _all_nodes(graph)}
    opsets = [opset for opset in result.opset_import if opset.domain in ("", "ai.onnx") or opset.domain in domains]
    del result.opset_import[:]
    result.opset_import.extend(opsets)
    fed = [info for info in graph.input if info.name not in tensors or info.name in needed]
    del graph.input[:]
    graph.input.extend(fed)
    return result


def _name_outputs(rewriter: Rewriter) -> None:
    """Give the float tensors of the network's outputs the outputs' names."""
    outputs = [info.name for info in rewriter.model.graph.output]
    for name in outputs:
        if name in rewriter.accumulators or name in rewriter.scales:
            raise UserError(f"output {name!r} is a sum of integer codes: {REMEDY}")
        known = rewriter.codes.get(name)
        real = rewriter.real(name) if known is None else known.real
        if real == name:
            continue
        producer = next((node for node in rewriter.nodes if real in node.output), None)
        if producer is None or real in outputs:
            rewriter.emit(onnx.helper.make_node("Identity", [real], [name], name=f"{name}/Identity"))
            continue
        if any(name in node.output for node in rewriter.nodes):  # what an activation that is back stands behind
            _rename(rewriter, name, f"{name}/before")
        _rename(rewriter, real, name)


def _rename(rewriter: Rewriter, tensor: str, new: str) -> None:
    """Give a tensor that was written another name."""
    for node in rewriter.nodes:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == tensor:
                    names[index] = new
    if tensor in rewriter.ranges:
        rewriter.ranges[new] = rewriter.ranges.pop(tensor)
    rewriter.renamed = {key: new if name == tensor else name for key, name in rewriter.renamed.items()}


def node_ranges(exported: onnx.ModelProto, ranges: Mapping[str, FeatureRange]) -> dict[str, dict[str, float | int]]:
    """Write ranges as a file that `quant.node_bits` reads: node or input -> MIN and MAX of its output.

    A bit width is written where it is not that of most features. Nodes that only move values have none, nor a layer
    whose activation comes right after it: the range is the activation's.

    Args:
        exported: the canonical network.
        ranges: of its tensors, by name.
    """
    graph = Graph(exported)
    widths = [found.bits for found in ranges.values()]
    usual = max(sorted(set(widths)), key=widths.count, default=0)
    content: dict[str, dict[str, float | int]] = {}

    def note(owner: str, tensor: str) -> None:
        found = ranges.get(tensor)
        if found is not None:
            bits = {} if found.bits == usual else {"QUANT_FEATURE_BIT": found.bits}
            content[owner] = {**bits, "MIN": found.low, "MAX": found.high}

    for tensor in graph.inputs:
        note(tensor, tensor)
    for node in graph.nodes:
        for tensor in node.output:
            consumers = graph.consumers.get(tensor, [])
            fused = len(consumers) == 1 and consumers[0].op_type in FUSED and tensor not in graph.outputs
            if node.op_type not in qdq.MOVES - {"Concat"} and not fused:
                note(output_name(node, tensor), tensor)
    return content
