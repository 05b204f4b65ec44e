"""Pooling. Caffe rounds the number of windows up; a window has to start before the padding ends."""

from stages.core.base.errors import UserError
from stages.export.sources.caffe.layers.windows import windows_of
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.pooling import Pool, add_pool, padding_at_end

__all__ = ["CONVERTERS"]


def _pooling(graph: GraphBuilder, layer: Layer) -> None:
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
    ends = [padding_at_end(*of_axis, clipped=True) for of_axis in sizes] if rounds_up else windows.pads
    pool = Pool(average, windows.kernel, windows.strides, windows.pads, ends)
    add_pool(graph, pool, layer.inputs[0], layer.name, layer.outputs)


CONVERTERS = {"pooling": _pooling}
