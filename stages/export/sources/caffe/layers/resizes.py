"""Larger and smaller features."""

import numpy as np

from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _interp(graph: GraphBuilder, layer: Layer) -> None:
    """Bilinear, corners on corners: DeepLab's layer. The size is a factor's, given, or that of the second input."""
    parameters = layer.message.message("interp_param")
    value = layer.inputs[0]
    begin, end = parameters.integer("pad_beg", 0), parameters.integer("pad_end", 0)  # zero or negative: cut off
    if begin or end:
        cut = [
            graph.constant(f"{layer.name}/{name}", [one, one])
            for name, one in (("starts", -begin), ("ends", end or 2**31))
        ]
        value = graph.add("Slice", [value, *cut, graph.constant(f"{layer.name}/axes", [2, 3])], f"{layer.name}/Slice")
    batch, channels, *sizes = graph.shapes[value]
    shrink, zoom = parameters.integer("shrink_factor", 1), parameters.integer("zoom_factor", 1)
    sizes = [(size - 1) // shrink + 1 for size in sizes]
    sizes = [size + (size - 1) * (zoom - 1) for size in sizes]
    if parameters.integer("height", 0):
        sizes = [parameters.integer("height", 0), parameters.integer("width", 0)]
    elif len(layer.inputs) > 1:
        sizes = list(graph.shapes[layer.inputs[1]][2:])
    target = graph.constant(f"{layer.name}/sizes", [batch, channels, *sizes])
    graph.add(
        "Resize",
        [value, "", "", target],
        layer.name,
        layer.outputs,
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )


def _upsample(graph: GraphBuilder, layer: Layer) -> None:
    """Each pixel repeated, as in Caffe ports of YOLO."""
    factor = float(layer.message.message("upsample_param").integer("scale", 2))
    scales = graph.constant(f"{layer.name}/scales", np.array([1, 1, factor, factor], np.float32))
    graph.add(
        "Resize",
        [layer.inputs[0], "", scales],
        layer.name,
        layer.outputs,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


CONVERTERS = {"interp": _interp, "upsample": _upsample}
