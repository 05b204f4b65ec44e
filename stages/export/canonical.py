"""The canonical form of a network: cut, simplified, batch norms folded, every node named as in the source."""

import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnxslim
from onnx import helper, numpy_helper, version_converter

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, attribute
from stages.export.cut import Cut, extract
from stages.export.layout.transposes import without_transposes
from stages.export.rewrites.rewrite import rewrite
from stages.export.shapes import declare_outputs
from stages.export.standard_form.constants import to_initializers
from stages.export.tensor_names import free_derived_names, unique_name

__all__ = ["canonicalize"]

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # what ONNX Runtime has operators of
RANDOM = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
}  # fmt: skip
TIED_ELEMENTS = 1000
MOST_TIED = 1000
"""The simplifier compares each two constants of one shape that have fewer elements: of more it is left out."""
OLDEST_OPSET = 13  # per-channel DequantizeLinear


def canonicalize(model: onnx.ModelProto, cut: Cut) -> onnx.ModelProto:
    """Cut, simplify and name.

    Args:
        model: the source with static shapes; not changed, though what simplifies it changes its argument.
        cut: where to start and end.

    Returns:
        A model of opset 13 or later that ONNX's checker accepts, without documentation or metadata.

    Raises:
        UserError: if the network cannot be simplified.
    """
    names = {name: node.name for node in model.graph.node for name in node.output if node.name}
    part = extract(model, cut)
    for node in part.graph.node:
        _check_operator(node)
    try:
        simplified = _slimmed(part)
        if _opset(simplified) < OLDEST_OPSET:
            simplified = version_converter.convert_version(simplified, OLDEST_OPSET)
        to_initializers(simplified)
        without_transposes(simplified)
        rewrite(simplified)
        _name_nodes(simplified, names)
        _rewrite_batch_norms(simplified)
        free_derived_names(simplified)
        _strip(simplified)
        del simplified.graph.value_info[:]
        for info in simplified.graph.output:
            info.type.tensor_type.ClearField("shape")
        simplified = onnx.shape_inference.infer_shapes(simplified)
        shaped = [info for info in simplified.graph.value_info if info.type.tensor_type.HasField("shape")]
        del simplified.graph.value_info[:]
        simplified.graph.value_info.extend(shaped)  # the checker refuses what a Loop makes, which may have no shape
        declare_outputs(simplified, model)
        onnx.checker.check_model(simplified, full_check=True)
    except Exception as error:  # onnxslim, the converter and the checker each raise their own types
        raise UserError(f"the network cannot be simplified: {one_line(error)}") from error
    return simplified


def _slimmed(part: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify a network, or leave it as it is where the simplifier fails on one of its operators."""
    whole = onnx.ModelProto()
    whole.CopyFrom(part)
    small = sum(math.prod(constant.dims) < TIED_ELEMENTS for constant in part.graph.initializer)
    skipped = ["weight_tying"] if small > MOST_TIED else None
    try:
        simplified: onnx.ModelProto = onnxslim.slim(part, skip_optimizations=skipped)
    except Exception:  # it raises many types; what is wrong with the network itself, the checker says
        return whole
    return simplified


def _check_operator(node: onnx.NodeProto) -> None:
    """Refuse an operator that cannot be run, or not to the same result twice."""
    name = node.name or node.output[0]
    if node.domain not in KNOWN_DOMAINS:
        raise UserError(
            f"operator {node.domain}.{node.op_type} ({name}) cannot be run: ONNX Runtime lacks it; end the "
            "network before it (model.outputs)"
        )
    if node.op_type in RANDOM:
        raise UserError(
            f"operator {node.op_type} ({name}) gives other values on each run: cut the network behind it "
            "(model.inputs[].name), or export it without"
        )


def _opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))


def _name_nodes(model: onnx.ModelProto, source_names: Mapping[str, str]) -> None:
    """Name each node as the source node of the same output; a nameless one by type and tensor.

    No node is named as an input, which has a name in the same tables, or holds what params.yaml would replace.
    """
    used = {info.name for info in model.graph.input}
    for node in model.graph.node:
        name = source_names.get(node.output[0]) or node.name or f"{node.op_type}_{node.output[0]}"
        name = name.replace("${", "$(")
        count, unique = 1, name
        while unique in used:
            count += 1
            unique = f"{name}_{count}"
        used.add(unique)
        node.name = unique


def _rewrite_batch_norms(model: onnx.ModelProto) -> None:
    """Write a batch norm that could not be folded into a convolution as what it is: a depthwise 1x1 convolution."""
    shapes = Graph(model).shapes
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    used = {*constants, *(name for node in model.graph.node for name in node.output)}
    replaced: set[str] = set()
    for node in model.graph.node:
        rank = len(shapes.get(node.input[0], [])) if node.input else 0
        if (
            node.op_type != "BatchNormalization"
            or rank < PICTURE_RANK - 1
            or any(name not in constants for name in node.input[1:])
        ):
            continue
        scale, shift, mean, variance = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
        with np.errstate(all="ignore"):  # a variance below 0 is refused where the network is run
            factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + attribute(node, "epsilon", 1e-5))
        weight = factor.astype(np.float32).reshape(-1, 1, *[1] * (rank - 2))
        bias = (shift - mean * factor).astype(np.float32)
        replaced.update(node.input[1:])
        names = [unique_name(f"{node.name}/{part}", used) for part in ("scale", "shift")]
        model.graph.initializer.extend(map(numpy_helper.from_array, (weight, bias), names))
        depthwise = helper.make_node(
            "Conv", [node.input[0], *names], list(node.output)[:1], name=node.name, group=len(weight)
        )
        node.CopyFrom(depthwise)
    replaced -= {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in replaced]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what is not the network: it may hold paths and changes from run to run."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    for part in (*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
