"""Layers that only move elements."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _concat(graph: GraphBuilder, layer: Layer) -> None:
    parameters = layer.message.message("concat_param")
    axis = parameters.integer("axis", parameters.integer("concat_dim", 1))
    if all(graph.value(name) is not None for name in layer.inputs):
        parts = [np.asarray(graph.value(name)) for name in layer.inputs]  # priors, which are constants
        graph.constant(layer.output, np.concatenate(parts, axis), reserved=True)
        return
    graph.add("Concat", layer.inputs, layer.name, layer.outputs, axis=axis)


def _slice(graph: GraphBuilder, layer: Layer) -> None:
    """Parts between the points; without points, parts of one size."""
    parameters = layer.message.message("slice_param")
    axis = parameters.integer("axis", parameters.integer("slice_dim", 1))
    size = graph.shapes[layer.inputs[0]][axis]
    parts = len(layer.outputs)
    points = parameters.integers("slice_point") or [size // parts * i for i in range(1, parts)]
    sizes = np.diff([0, *points, size])
    if len(sizes) != parts or (sizes <= 0).any():
        raise UserError(f"{layer.where} cuts {size} values at {points} into {parts} parts")
    graph.add(
        "Split", [*layer.inputs, graph.constant(f"{layer.name}/sizes", sizes)], layer.name, layer.outputs, axis=axis
    )


def _flatten(graph: GraphBuilder, layer: Layer) -> None:
    parameters = layer.message.message("flatten_param")
    shape = graph.shapes[layer.inputs[0]]
    first, last = parameters.integer("axis", 1), parameters.integer("end_axis", -1) % len(shape)
    if first == 1 and last == len(shape) - 1:
        graph.add("Flatten", layer.inputs, layer.name, layer.outputs, axis=1)
        return
    first %= len(shape)
    _reshaped(graph, layer, [*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]])


def _reshape(graph: GraphBuilder, layer: Layer) -> None:
    """0 takes over a size, -1 follows from the others; only the axes of a range may be changed."""
    parameters = layer.message.message("reshape_param")
    shape = list(graph.shapes[layer.inputs[0]])
    wanted = parameters.message("shape").integers("dim")
    first = parameters.integer("axis", 0)
    first = first % (len(shape) + 1) if first < 0 else first
    count = parameters.integer("num_axes", -1)
    last = len(shape) if count < 0 else first + count
    inner = shape[first:last]
    sizes = [inner[i] if size == 0 and i < len(inner) else size for i, size in enumerate(wanted)]
    _reshaped(graph, layer, [*shape[:first], *sizes, *shape[last:]])


def _reshaped(graph: GraphBuilder, layer: Layer, shape: list[int]) -> None:
    known = int(np.prod([size for size in shape if size != -1]))
    count = int(np.prod(graph.shapes[layer.inputs[0]]))
    if count % known if -1 in shape else count != known:
        raise UserError(f"{layer.where} makes {shape} of {list(graph.shapes[layer.inputs[0]])}")
    sizes = [0, *shape[1:]] if shape[:1] == list(graph.shapes[layer.inputs[0]][:1]) else shape
    graph.add("Reshape", [layer.inputs[0], graph.constant(f"{layer.name}/shape", sizes)], layer.name, layer.outputs)


def _permute(graph: GraphBuilder, layer: Layer) -> None:
    order = layer.message.message("permute_param").integers("order")
    rest = [axis for axis in range(len(graph.shapes[layer.inputs[0]])) if axis not in order]
    graph.add("Transpose", layer.inputs, layer.name, layer.outputs, perm=[*order, *rest])


def _crop(graph: GraphBuilder, layer: Layer) -> None:
    """To the second input's size, from an axis on."""
    parameters = layer.message.message("crop_param")
    shape, like = (graph.shapes[name] for name in layer.inputs[:2])
    axes = list(range(parameters.integer("axis", 2) % len(shape), len(shape)))
    offsets = parameters.integers("offset") or [0]
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    ends = [offset + like[axis] for offset, axis in zip(offsets, axes, strict=True)]
    if any(end > shape[axis] for end, axis in zip(ends, axes, strict=True)):
        raise UserError(f"{layer.where} cuts {list(like)} out of {list(shape)} at {offsets}, which is too large")
    settings = [
        graph.constant(f"{layer.name}/{name}", value)
        for name, value in (("starts", offsets), ("ends", ends), ("axes", axes))
    ]
    graph.add("Slice", [layer.inputs[0], *settings], layer.name, layer.outputs)


def _shuffle(graph: GraphBuilder, layer: Layer) -> None:
    """Channels of the groups in turn."""
    group = layer.message.message("shuffle_channel_param").integer("group", 1)
    batch, channels, *sizes = graph.shapes[layer.inputs[0]]
    if channels % group:
        raise UserError(f"{layer.where} has {group} groups for {channels} channels")
    apart = graph.constant(f"{layer.name}/groups", [batch, group, channels // group, *sizes])
    back = graph.constant(f"{layer.name}/shape", [batch, channels, *sizes])
    split = graph.add("Reshape", [layer.inputs[0], apart], f"{layer.name}/Reshape")
    turned = graph.add("Transpose", [split], f"{layer.name}/Transpose", perm=[0, 2, 1, *range(3, 3 + len(sizes))])
    graph.add("Reshape", [turned, back], layer.name, layer.outputs)


def _tile(graph: GraphBuilder, layer: Layer) -> None:
    parameters = layer.message.message("tile_param")
    repeats = [1] * len(graph.shapes[layer.inputs[0]])
    repeats[parameters.integer("axis", 1)] = parameters.integer("tiles", 1)
    graph.add("Tile", [layer.inputs[0], graph.constant(f"{layer.name}/repeats", repeats)], layer.name, layer.outputs)


CONVERTERS = {
    "concat": _concat,
    "crop": _crop,
    "flatten": _flatten,
    "permute": _permute,
    "reshape": _reshape,
    "shufflechannel": _shuffle,
    "slice": _slice,
    "tile": _tile,
}
