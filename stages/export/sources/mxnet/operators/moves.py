"""Operators that only move elements, and Resize."""

from collections.abc import Sequence

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Operator

__all__ = ["CONVERTERS"]

ALL = 2**31 - 1
"""An end beyond every axis."""


def _concat(graph: GraphBuilder, operator: Operator) -> None:
    axis = operator.attributes.integer("dim", 1)
    graph.add("Concat", operator.inputs, operator.name, [operator.name], axis=axis)


def _stack(graph: GraphBuilder, operator: Operator) -> None:
    axis = operator.attributes.integer("axis", 0)
    at = graph.constant(f"{operator.name}/axis", [axis])
    parts = [graph.add("Unsqueeze", [name, at], f"{operator.name}/Unsqueeze") for name in operator.inputs]
    graph.add("Concat", parts, operator.name, [operator.name], axis=axis)


def _split(graph: GraphBuilder, operator: Operator) -> None:
    """Into parts of one size; an axis of one element may go."""
    attributes, name = operator.attributes, operator.name
    count, axis = attributes.integer("num_outputs", 1), attributes.integer("axis", 1)
    size = graph.shapes[operator.inputs[0]][axis]
    if size % count:
        raise UserError(f"{operator.where} splits {size} values into {count} parts")
    outputs = [name, *(f"{name}:{part}" for part in range(1, count))]
    squeezed = attributes.flag("squeeze_axis", False)
    parts = [graph.unique(f"{name}/part_{part}") for part in range(count)] if squeezed else outputs
    sizes = graph.constant(f"{name}/sizes", [size // count] * count)
    graph.add("Split", [operator.inputs[0], sizes], name, parts, axis=axis)
    if squeezed:
        at = graph.constant(f"{name}/axis", [axis])
        for part, output in zip(parts, outputs, strict=True):
            graph.add("Squeeze", [part, at], f"{name}/Squeeze", [output])


def _flatten(graph: GraphBuilder, operator: Operator) -> None:
    graph.add("Flatten", operator.inputs, operator.name, [operator.name], axis=1)


def _reshape(graph: GraphBuilder, operator: Operator) -> None:
    """With MXNet's codes: 0 takes a size over, -1 follows, -2 takes all that are left, -3 joins two, -4 splits one."""
    attributes, value = operator.attributes, operator.inputs[0]
    sizes = list(graph.shapes[value])
    codes = list(attributes.integers("shape"))
    if not codes:
        codes = list(attributes.integers("target_shape"))  # before MXNet 0.8, with a batch of 0
        codes = [size or (sizes[0] if position == 0 else -1) for position, size in enumerate(codes)]
    if attributes.flag("reverse", False):
        shape = _decoded(codes[::-1], sizes[::-1], operator)[::-1]
    else:
        shape = _decoded(codes, sizes, operator)
    known = int(np.prod([size for size in shape if size != -1]))
    if int(np.prod(sizes)) % known if -1 in shape else int(np.prod(sizes)) != known:
        raise UserError(f"{operator.where} makes {shape} of {sizes}")
    if shape[:1] == sizes[:1]:
        shape[0] = 0  # as ONNX has it: the batch stays free
    graph.add("Reshape", [value, graph.constant(f"{operator.name}/shape", shape)], operator.name, [operator.name])


def _decoded(codes: Sequence[int], sizes: Sequence[int], operator: Operator) -> list[int]:
    """Sizes for codes, each of which takes its part of the old sizes."""
    shape: list[int] = []
    at, position = 0, 0
    while position < len(codes):
        code = codes[position]
        position += 1
        if code == -2:
            shape += sizes[at:]
            at = len(sizes)
        elif code == -3:
            shape.append(sizes[at] * sizes[at + 1])
            at += 2
        elif code == -4:
            first, second = codes[position : position + 2]
            position += 2
            first = sizes[at] // second if first == -1 else first
            shape += [first, sizes[at] // first]
            at += 1
        elif code >= -1:
            shape.append(sizes[at] if code == 0 else code)
            at += 1
        else:
            raise UserError(f"{operator.where} has the unknown code {code} in its shape")
    return shape


def _transpose(graph: GraphBuilder, operator: Operator) -> None:
    rank = len(graph.shapes[operator.inputs[0]])
    perm = operator.attributes.integers("axes") or tuple(reversed(range(rank)))
    graph.add("Transpose", operator.inputs, operator.name, [operator.name], perm=perm)


def _swap(graph: GraphBuilder, operator: Operator) -> None:
    perm = list(range(len(graph.shapes[operator.inputs[0]])))
    first, second = operator.attributes.integer("dim1", 0), operator.attributes.integer("dim2", 0)
    perm[first], perm[second] = perm[second], perm[first]
    graph.add("Transpose", operator.inputs, operator.name, [operator.name], perm=perm)


def _expand(graph: GraphBuilder, operator: Operator) -> None:
    axis = graph.constant(f"{operator.name}/axis", [operator.attributes.integer("axis", 0)])
    graph.add("Unsqueeze", [operator.inputs[0], axis], operator.name, [operator.name])


def _squeeze(graph: GraphBuilder, operator: Operator) -> None:
    axes = list(operator.attributes.integers("axis"))
    axes = axes or [axis for axis, size in enumerate(graph.shapes[operator.inputs[0]]) if size == 1]
    at = graph.constant(f"{operator.name}/axes", axes)
    graph.add("Squeeze", [operator.inputs[0], at], operator.name, [operator.name])


def _slice_axis(graph: GraphBuilder, operator: Operator) -> None:
    attributes = operator.attributes
    begin, end = attributes.integer("begin", 0), attributes.value("end", ALL)
    _add_slice(graph, operator, [begin], [int(end)], [attributes.integer("axis", 0)])


def _slice(graph: GraphBuilder, operator: Operator) -> None:
    """From begin to end of the first axes, None for all."""
    begins, ends = (operator.attributes.value(key, ()) for key in ("begin", "end"))
    begins, ends = ([one] if one is None or isinstance(one, int) else list(one) for one in (begins, ends))
    if any(step not in (None, 1) for step in operator.attributes.value("step", ()) or ()):
        raise UserError(f"{operator.where} has steps, which have no ONNX form here")
    starts = [one or 0 for one in begins]
    _add_slice(graph, operator, starts, [ALL if one is None else one for one in ends], list(range(len(starts))))


def _slice_like(graph: GraphBuilder, operator: Operator) -> None:
    """To the second input's size on some axes, or on all."""
    like = graph.shapes[operator.inputs[1]]
    axes = [axis % len(like) for axis in operator.attributes.integers("axes")] or list(range(len(like)))
    _add_slice(graph, operator, [0] * len(axes), [like[axis] for axis in axes], axes)


def _crop(graph: GraphBuilder, operator: Operator) -> None:
    """Height and width to those of the second input, or to given ones."""
    attributes = operator.attributes
    size = graph.shapes[operator.inputs[0]][2:]
    target = graph.shapes[operator.inputs[1]][2:] if len(operator.inputs) > 1 else attributes.integers("h_w", (0, 0))
    offset = attributes.integers("offset", (0, 0))
    if attributes.flag("center_crop", False):
        offset = tuple((whole - part) // 2 for whole, part in zip(size, target, strict=True))
    ends = [start + part for start, part in zip(offset, target, strict=True)]
    if any(end > whole for end, whole in zip(ends, size, strict=True)):
        raise UserError(f"{operator.where} cuts {list(target)} out of {list(size)} at {list(offset)}")
    _add_slice(graph, operator, list(offset), ends, [2, 3])


def _add_slice(graph: GraphBuilder, operator: Operator, starts: list[int], ends: list[int], axes: list[int]) -> None:
    named = (("starts", starts), ("ends", ends), ("axes", axes))
    settings = [graph.constant(f"{operator.name}/{key}", values) for key, values in named]
    graph.add("Slice", [operator.inputs[0], *settings], operator.name, [operator.name])


def _pad(graph: GraphBuilder, operator: Operator) -> None:
    """Before and after each axis in turn."""
    attributes = operator.attributes
    widths = attributes.integers("pad_width")
    inputs = [operator.inputs[0], graph.constant(f"{operator.name}/pads", [*widths[::2], *widths[1::2]])]
    mode = attributes.text("mode", "constant")
    if mode == "constant":
        value = np.float32(attributes.number("constant_value", 0.0))
        inputs.append(graph.constant(f"{operator.name}/value", value))
    graph.add("Pad", inputs, operator.name, [operator.name], mode=mode)


def _tile(graph: GraphBuilder, operator: Operator) -> None:
    repeats = operator.attributes.integers("reps")
    missing = len(graph.shapes[operator.inputs[0]]) - len(repeats)
    counts = graph.constant(f"{operator.name}/repeats", [*[1] * missing, *repeats])
    graph.add("Tile", [operator.inputs[0], counts], operator.name, [operator.name])


def _bilinear(graph: GraphBuilder, operator: Operator) -> None:
    attributes, value = operator.attributes, operator.inputs[0]
    batch, channels, *sizes = graph.shapes[value]
    if len(operator.inputs) > 1:
        target = list(graph.shapes[operator.inputs[1]][2:])
    elif attributes.value("scale_height") is not None:
        factors = (attributes.number("scale_height", 1.0), attributes.number("scale_width", 1.0))
        target = [int(size * factor) for size, factor in zip(sizes, factors, strict=True)]
    else:
        target = [attributes.integer("height", 1), attributes.integer("width", 1)]
    mode = "align_corners" if attributes.flag("align_corners", True) else "half_pixel"
    inputs = [value, "", "", graph.constant(f"{operator.name}/sizes", [batch, channels, *target])]
    graph.add("Resize", inputs, operator.name, [operator.name], mode="linear", coordinate_transformation_mode=mode)


CONVERTERS = {
    "Concat": _concat,
    "Crop": _crop,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "SliceChannel": _split,
    "SwapAxis": _swap,
    "_contrib_BilinearResize2D": _bilinear,
    "concat": _concat,
    "crop": _slice,
    "expand_dims": _expand,
    "flatten": _flatten,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "slice_axis": _slice_axis,
    "slice_like": _slice_like,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "swapaxes": _swap,
    "tile": _tile,
    "transpose": _transpose,
}
