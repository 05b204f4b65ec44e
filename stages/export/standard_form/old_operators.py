"""Operators of opset 1 to 6 as those of opset 7, the first that ONNX Runtime runs.

Source: the changes that onnx/docs/Changelog.md lists of each version.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import attribute

__all__ = ["OLDEST_OPSET", "raised_to_opset_7"]

OLDEST_OPSET = 7
DROPPED = {"consumed_inputs", "is_test", "output_sequence", "spatial"}
"""Attributes that later versions lack, and that say nothing of a network that is only run."""
BROADCASTING = {
    "Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Mul", "Or", "PRelu", "Pow", "Sub", "Xor",
}  # fmt: skip
"""Operators whose second operand was spread from an axis on that an attribute named."""
EXPERIMENTAL = {
    "ATen", "GRUUnit", "GivenTensorFill", "ParametricSoftplus", "ScaledTanh", "DynamicSlice",
}  # fmt: skip
"""Operators that never became part of the standard and have no form here."""


@dataclass
class OldModel:
    """A network of before opset 7 while it is rewritten.

    Attributes:
        model: changed in place.
        opset: its version.
        values: its constants of at most rank 1.
        ranks: tensor -> number of axes, where known.
        nodes: written so far.
    """

    model: onnx.ModelProto
    opset: int
    values: Mapping[str, NDArray[Any]]
    ranks: Mapping[str, int]
    nodes: list[onnx.NodeProto]

    def constant(self, node: onnx.NodeProto, suffix: str, value: NDArray[Any]) -> str:
        """Add a constant that a node reads; gives its name."""
        name = f"{node.output[0]}/{suffix}"
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def raised_to_opset_7(model: onnx.ModelProto, values: Mapping[str, NDArray[Any]], name: str) -> None:
    """Rewrite a network of opset 1 to 6 for opset 7, in place.

    Args:
        model: the network, its constants initializers.
        values: its constants of at most rank 1.
        name: what messages call it.

    Raises:
        UserError: for an operator that never became part of the standard.
    """
    version = next(opset for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    to = OldModel(model, version.version, values, _ranks(model), [])
    for node in model.graph.node:
        if node.op_type in EXPERIMENTAL:
            raise UserError(
                f"{name}: operator {node.op_type} ({node.name or node.output[0]}) of opset {version.version} never "
                "became part of ONNX: export the network anew with a newer exporter"
            )
        copied = onnx.NodeProto.FromString(node.SerializeToString())
        REWRITES.get(node.op_type, _keep)(to, copied)
    for node in to.nodes:
        _drop(node, DROPPED)
    version.version = OLDEST_OPSET
    del model.graph.node[:]
    model.graph.node.extend(to.nodes)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Ranks of tensors: shape inference takes what it knows of the old operators."""
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for info in (*inferred.value_info, *inferred.input, *inferred.output):
        if info.type.tensor_type.HasField("shape"):
            ranks.setdefault(info.name, len(info.type.tensor_type.shape.dim))
    for node in model.graph.node:  # inference stops at operators that it has no rule for; most keep their input's rank
        known = ranks.get(node.input[0]) if node.input else None
        if known is not None and node.op_type not in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Shape"):
            ranks.setdefault(node.output[0], known)
    return ranks


def _keep(to: OldModel, node: onnx.NodeProto) -> None:
    to.nodes.append(node)


def _drop(node: onnx.NodeProto, names: set[str]) -> None:
    kept = [each for each in node.attribute if each.name not in names]
    if len(kept) < len(node.attribute):
        copies = [onnx.AttributeProto.FromString(each.SerializeToString()) for each in kept]
        del node.attribute[:]
        node.attribute.extend(copies)


def _broadcast(to: OldModel, node: onnx.NodeProto) -> None:
    """Give the second operand the axes behind it that today's rule of broadcasting needs."""
    axis, spread = attribute(node, "axis"), attribute(node, "broadcast", 0)
    _drop(node, {"axis", "broadcast"})
    ranks = [to.ranks.get(name) for name in node.input[:2]]
    if node.op_type == "PRelu" and ranks[1] == 1:
        axis, spread = 1, 1
    if spread and axis is not None and node.op_type != "Gemm" and ranks[0] and ranks[1] is not None:
        behind = ranks[0] - axis % ranks[0] - ranks[1]
        if ranks[1] and behind > 0:
            target = f"{node.output[0]}/spread"
            axes = list(range(ranks[1], ranks[1] + behind))
            to.nodes.append(helper.make_node("Unsqueeze", [node.input[1]], [target], f"{target}/Unsqueeze", axes=axes))
            node.input[1] = target
    to.nodes.append(node)


def _reshape(to: OldModel, node: onnx.NodeProto) -> None:
    shape = attribute(node, "shape")
    if shape is not None:
        node.input.append(to.constant(node, "shape", np.array(shape, np.int64)))
        _drop(node, {"shape"})
    to.nodes.append(node)


def _cast(to: OldModel, node: onnx.NodeProto) -> None:
    kind = attribute(node, "to")
    if isinstance(kind, bytes):
        _drop(node, {"to"})
        node.attribute.append(helper.make_attribute("to", TensorProto.DataType.Value(kind.decode().upper())))
    to.nodes.append(node)


def _concat(to: OldModel, node: onnx.NodeProto) -> None:
    if attribute(node, "axis") is None:
        node.attribute.append(helper.make_attribute("axis", 1))
    to.nodes.append(node)


def _pad(to: OldModel, node: onnx.NodeProto) -> None:
    pads = attribute(node, "paddings")
    if pads is not None:
        _drop(node, {"paddings"})
        node.attribute.append(helper.make_attribute("pads", list(pads)))
    to.nodes.append(node)


def _split(to: OldModel, node: onnx.NodeProto) -> None:
    if len(node.input) > 1 and node.input[1] in to.values:
        sizes = [int(size) for size in to.values[node.input[1]]]
        del node.input[1:]
        node.attribute.append(helper.make_attribute("split", sizes))
    to.nodes.append(node)


def _tile(to: OldModel, node: onnx.NodeProto) -> None:
    """Opset 1 repeats along one axis: inputs tiles and axis."""
    rank = to.ranks.get(node.input[0])
    if to.opset < 6 and len(node.input) > 2 and rank is not None:
        repeats = np.ones(rank, np.int64)
        repeats[int(to.values[node.input[2]].item())] = int(to.values[node.input[1]].item())
        del node.input[1:]
        node.input.append(to.constant(node, "repeats", repeats))
    to.nodes.append(node)


def _upsample(to: OldModel, node: onnx.NodeProto) -> None:
    height, width = attribute(node, "height_scale"), attribute(node, "width_scale")
    if height is not None or width is not None:
        _drop(node, {"height_scale", "width_scale"})
        node.attribute.append(helper.make_attribute("scales", [1.0, 1.0, float(height or 1), float(width or 1)]))
    to.nodes.append(node)


def _batch_norm(to: OldModel, node: onnx.NodeProto) -> None:
    del node.output[1:]  # what training returns besides
    to.nodes.append(node)


def _dropout(to: OldModel, node: onnx.NodeProto) -> None:
    outputs = list(node.output)
    node.CopyFrom(helper.make_node("Dropout", [node.input[0]], outputs, node.name))
    to.nodes.append(node)


def _image_scaler(to: OldModel, node: onnx.NodeProto) -> None:
    """Compute x * scale + bias, a bias a channel."""
    x, y = node.input[0], node.output[0]
    bias = np.array(attribute(node, "bias", [0.0]), np.float32).reshape(-1, 1, 1)
    scale = to.constant(node, "scale", np.array(attribute(node, "scale", 1.0), np.float32))
    scaled = f"{y}/scaled"
    to.nodes.append(helper.make_node("Mul", [x, scale], [scaled], f"{scaled}/Mul"))
    to.nodes.append(helper.make_node("Add", [scaled, to.constant(node, "bias", bias)], [y], node.name))


def _affine(to: OldModel, node: onnx.NodeProto) -> None:
    """Compute alpha * x + beta."""
    x, y = node.input[0], node.output[0]
    factor, summand = (
        to.constant(node, key, np.array(attribute(node, key, default), np.float32))
        for key, default in (("alpha", 1.0), ("beta", 0.0))
    )
    scaled = f"{y}/scaled"
    to.nodes.append(helper.make_node("Mul", [x, factor], [scaled], f"{scaled}/Mul"))
    to.nodes.append(helper.make_node("Add", [scaled, summand], [y], node.name))


def _crop(to: OldModel, node: onnx.NodeProto) -> None:
    """Take away a border: left, top, right, bottom in pixels; or give the sizes from left and top on."""
    left, top, right, bottom = attribute(node, "border")
    scale = attribute(node, "scale")
    ends = [-bottom or np.iinfo(np.int32).max, -right or np.iinfo(np.int32).max]
    if scale is not None:
        ends = [top + scale[0], left + scale[1]]
    node.CopyFrom(
        helper.make_node(
            "Slice", [node.input[0]], list(node.output), node.name, starts=[top, left], ends=ends, axes=[2, 3]
        )
    )
    to.nodes.append(node)


def _scale(to: OldModel, node: onnx.NodeProto) -> None:
    factor = to.constant(node, "scale", np.array(attribute(node, "scale", 1.0), np.float32))
    node.CopyFrom(helper.make_node("Mul", [node.input[0], factor], list(node.output), node.name))
    to.nodes.append(node)


REWRITES: dict[str, Callable[[OldModel, onnx.NodeProto], None]] = {
    **dict.fromkeys(BROADCASTING, _broadcast),
    "Affine": _affine,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concat,
    "Crop": _crop,
    "Dropout": _dropout,
    "ImageScaler": _image_scaler,
    "Pad": _pad,
    "Reshape": _reshape,
    "Scale": _scale,
    "Split": _split,
    "Tile": _tile,
    "Upsample": _upsample,
}
