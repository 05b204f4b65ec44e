"""Pooling.

Caffe rounds the number of windows up. A window may reach beyond the padding, but has to start before its end.
"""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.caffe.layers.windows import windows_of
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _pooling(graph: GraphBuilder, layer: Layer) -> None:
    """A node whose padding at the end makes for as many windows as Caffe has."""
    parameters = layer.message.message("pooling_param")
    method = parameters.choice("pool", ("MAX", "AVE", "STOCHASTIC"))
    if method == "STOCHASTIC" or len(layer.outputs) > 1:
        what = "stochastic pooling" if method == "STOCHASTIC" else "a second output, the positions of the maxima,"
        raise UserError(f"{layer.where}: {what} has no ONNX form here")
    average = method == "AVE"
    if parameters.flag("global_pooling", False):
        graph.add("GlobalAveragePool" if average else "GlobalMaxPool", layer.inputs, layer.name, layer.outputs)
        return
    windows = windows_of(parameters, layer)
    rounds_up = parameters.choice("round_mode", ("CEIL", "FLOOR")) == "CEIL" and parameters.flag("ceil_mode", True)
    sizes = zip(graph.shapes[layer.inputs[0]][2:], windows.kernel, windows.strides, windows.pads, strict=True)
    ends = [_padding_at_end(size, kernel, stride, pad, rounds_up) for size, kernel, stride, pad in sizes]
    pads = [*windows.pads, *ends]
    inputs, settings = list(layer.inputs), {}
    if average and any(end > pad for end, pad in zip(ends, windows.pads, strict=True)):
        # an average counts the zeros of the padding, but not what a window has beyond it
        inputs, pads = [_padded(graph, layer, windows.pads)], [0, 0, *np.subtract(ends, windows.pads).clip(0).tolist()]
    elif average:
        pads = [*windows.pads, *windows.pads] if any(windows.pads) else pads
        settings = {"count_include_pad": 1} if any(windows.pads) else {}
    op_type = "AveragePool" if average else "MaxPool"
    graph.add(
        op_type,
        inputs,
        layer.name,
        layer.outputs,
        kernel_shape=windows.kernel,
        strides=windows.strides,
        pads=pads,
        **settings,
    )


def _padding_at_end(size: int, kernel: int, stride: int, pad: int, rounds_up: bool) -> int:
    """Padding behind an axis with which rounding down gives Caffe's number of windows."""
    if not rounds_up:
        return pad
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    if (count - 1) * stride >= size + pad:
        count -= 1
    return max((count - 1) * stride + kernel - size - pad, 0)


def _padded(graph: GraphBuilder, layer: Layer, pads: tuple[int, ...]) -> str:
    if not any(pads):
        return layer.inputs[0]
    both = graph.constant(f"{layer.name}/pads", [0, 0, *pads, 0, 0, *pads])
    return graph.add("Pad", [layer.inputs[0], both], f"{layer.name}/Pad")


CONVERTERS = {"pooling": _pooling}
