"""Inputs in another form than the pipeline feeds: channels last (NHWC), or pixels as integers."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from stages.core.graph.onnx_graph import PICTURE_RANK, attribute, used_names
from stages.export.shapes import graph_shapes

__all__ = ["CHANNELS_FIRST", "CHANNELS_LAST", "float_pixels", "with_channels_first"]

CHANNELS_FIRST = [0, 3, 1, 2]
"""The permutation of a Transpose from NHWC to NCHW."""
CHANNELS_LAST = [0, 2, 3, 1]
"""The one from NCHW to NHWC."""
KEEPS_LAYOUT = {
    "Abs", "Add", "Cast", "Clip", "Div", "Exp", "Identity", "LeakyRelu", "Max", "Min", "Mul", "Neg", "Pad", "Pow",
    "Relu", "Resize", "Sigmoid", "Sqrt", "Sub", "Tanh",
}  # fmt: skip
"""Operators that may stand between an input and the Transpose that shows its layout."""
COLORS = 3
MIN_PICTURE_SIDE = 16
"""Pixels of a side from which on sizes alone tell the layout: no NCHW picture is 3 pixels wide."""
PIXEL_TYPES: set[int] = {TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64}


def float_pixels(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Make float inputs of pictures in integers that the network only casts to float.

    Args:
        model: the source; not changed.

    Returns:
        The network, and the names of the inputs that are float now.
    """
    outputs, found = {info.name for info in model.graph.output}, {}
    for name in _rank_4(model, PIXEL_TYPES):
        readers = [node for node in model.graph.node if name in used_names([node])]
        casts = [node for node in readers if node.op_type == "Cast" and attribute(node, "to") == TensorProto.FLOAT]
        if readers and casts == readers and not outputs.intersection(node.output[0] for node in casts):
            found[name] = {node.output[0] for node in casts}
    if not found:
        return model, []
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    by_cast = {cast: name for name, casts in found.items() for cast in casts}
    kept = [node for node in changed.graph.node if not (node.output and node.output[0] in by_cast)]
    renamed = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    for node in renamed:
        _replace(node, by_cast)
    del changed.graph.node[:]
    changed.graph.node.extend(renamed)
    for info in changed.graph.input:
        if info.name in found:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    return changed, list(found)


def with_channels_first(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Make NCHW inputs of NHWC ones: a Transpose from NCHW stands behind each.

    An input is NHWC if operators that keep the layout lead from it to nothing but a Transpose to NCHW, or, of one
    channel, a Reshape that does the same; or if its sizes leave no doubt: three channels behind two sizes of
    `MIN_PICTURE_SIDE` or more, or one or three behind two that are open.

    Args:
        model: the source; not changed.

    Returns:
        The network, and the names of the inputs that are NCHW now.
    """
    shapes = graph_shapes(model)
    names = [
        name
        for name in _rank_4(model, {TensorProto.FLOAT})
        if _has_sizes_of_nhwc(shapes[name]) or _is_channels_last(model, name)
    ]
    if not names:
        return model, []
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        _replace(node, {name: f"{name}/nhwc" for name in names})
    transposes = [
        helper.make_node("Transpose", [name], [f"{name}/nhwc"], name=f"{name}/Transpose", perm=CHANNELS_LAST)
        for name in names
    ]
    nodes = [*transposes, *changed.graph.node]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del changed.graph.node[:]
    changed.graph.node.extend(copies)
    for info in changed.graph.input:
        if info.name in names:
            dims = info.type.tensor_type.shape.dim
            permuted = [onnx.TensorShapeProto.Dimension.FromString(dims[i].SerializeToString()) for i in CHANNELS_FIRST]
            del dims[:]
            dims.extend(permuted)
    return changed, names


def _rank_4(model: onnx.ModelProto, types: set[int]) -> list[str]:
    kinds = {info.name: info.type.tensor_type.elem_type for info in model.graph.input}
    return [name for name, shape in graph_shapes(model).items() if len(shape) == PICTURE_RANK and kinds[name] in types]


def _has_sizes_of_nhwc(shape: Sequence[int]) -> bool:
    """Whether sizes are those of a picture with its channels last: no NCHW picture is 1 or 3 pixels wide."""
    _, rows, columns, channels = shape
    open_picture = channels in (1, COLORS) and rows == columns == 0
    return open_picture or (channels == COLORS and min(rows, columns) >= MIN_PICTURE_SIDE)


def _is_channels_last(model: onnx.ModelProto, name: str) -> bool:
    """Whether every way from an input ends at a change from NHWC to NCHW."""
    shape = graph_shapes(model)[name]
    channels = shape[-1]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    pending, seen, met = [name], set[str](), False
    while pending:
        tensor = pending.pop()
        for node in model.graph.node:
            if tensor not in used_names([node]) or node.output[0] in seen:
                continue
            if (node.op_type == "Transpose" and list(attribute(node, "perm", [])) == CHANNELS_FIRST) or (
                node.op_type == "Reshape" and channels == 1 and _to_one_channel(node, shape, constants)
            ):
                met = True
            elif node.op_type in KEEPS_LAYOUT:
                seen.add(node.output[0])
                pending.append(node.output[0])
            elif node.op_type != "Shape":
                return False
    return met


def _to_one_channel(node: onnx.NodeProto, shape: Sequence[int], constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether a Reshape gives [N, 1, H, W]."""
    target = constants.get(node.input[1])
    sizes = [] if target is None else onnx.numpy_helper.to_array(target).tolist()
    return len(sizes) == PICTURE_RANK and sizes[1] == 1 and sizes[2:] == list(shape[1:3])


def _replace(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Rename inputs of a node, in the bodies of an If, Loop or Scan too."""
    for index, name in enumerate(node.input):
        node.input[index] = names.get(name, name)
    for each in node.attribute:
        if each.type == onnx.AttributeProto.GRAPH:
            for inner in each.g.node:
                _replace(inner, names)
            for info in each.g.output:
                info.name = names.get(info.name, info.name)
