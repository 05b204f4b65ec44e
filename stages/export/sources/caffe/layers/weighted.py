"""Layers that multiply by weights."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.caffe.layers.windows import windows_of
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _convolution(graph: GraphBuilder, layer: Layer) -> None:
    """Convolution, also depthwise: how many groups there are follows from the weight."""
    _add(graph, layer, "Conv")


def _deconvolution(graph: GraphBuilder, layer: Layer) -> None:
    _add(graph, layer, "ConvTranspose")


def _add(graph: GraphBuilder, layer: Layer, op_type: str) -> None:
    parameters = layer.message.message("convolution_param")
    weight, *bias = layer.need_blobs(1)
    channels = graph.shapes[layer.inputs[0]][1]
    group = parameters.integer("group", 1)
    if op_type == "Conv":
        group = channels // weight.shape[1] if channels % weight.shape[1] == 0 else 0
        outputs = weight.shape[0]
    else:
        outputs = weight.shape[1] * group if weight.shape[0] == channels else 0
    wanted = parameters.integer("num_output", outputs)
    if not group or outputs != wanted:
        raise UserError(
            f"{layer.where} takes {channels} channels and gives {wanted}; its weight has the shape {list(weight.shape)}"
        )
    windows = windows_of(parameters, layer, weight.shape[2:])
    inputs = [layer.inputs[0], graph.constant(f"{layer.name}/weight", weight)]
    if bias:
        inputs.append(graph.constant(f"{layer.name}/bias", bias[0].ravel()))
    graph.add(
        op_type,
        inputs,
        layer.name,
        layer.outputs,
        kernel_shape=windows.kernel,
        strides=windows.strides,
        pads=[*windows.pads, *windows.pads],
        dilations=windows.dilations,
        group=group,
    )


def _inner_product(graph: GraphBuilder, layer: Layer) -> None:
    """A weight times all that lies behind an axis, flattened."""
    parameters = layer.message.message("inner_product_param")
    weight, *bias = layer.need_blobs(1)
    shape = graph.shapes[layer.inputs[0]]
    axis = parameters.integer("axis", 1) % len(shape)
    count = int(np.prod(shape[axis:]))
    transposed = parameters.flag("transpose", False)
    if weight.size != count * parameters.integer("num_output", weight.size // count):
        wanted = parameters.integer("num_output", 0)
        raise UserError(
            f"{layer.where} takes {count} values and gives {wanted}; its weight has the shape {list(weight.shape)}"
        )
    weight = weight.reshape(count, -1) if transposed else weight.reshape(-1, count).T
    inputs = [layer.inputs[0]]
    if axis == 1:
        if len(shape) != 2:
            inputs = [graph.add("Flatten", inputs, f"{layer.name}/Flatten", axis=1)]
        inputs.append(graph.constant(f"{layer.name}/weight", weight.T))
        inputs += [graph.constant(f"{layer.name}/bias", array.ravel()) for array in bias[:1]]
        graph.add("Gemm", inputs, layer.name, layer.outputs, transB=1)
        return
    if axis != len(shape) - 1:
        rows = graph.constant(f"{layer.name}/shape", [*shape[:axis], count])
        inputs = [graph.add("Reshape", [*inputs, rows], f"{layer.name}/Reshape")]
    inputs.append(graph.constant(f"{layer.name}/weight", weight))
    product = graph.add("MatMul", inputs, layer.name, () if bias else layer.outputs)
    if bias:
        added = [product, graph.constant(f"{layer.name}/bias", bias[0].ravel())]
        graph.add("Add", added, f"{layer.name}/Add", layer.outputs)


CONVERTERS = {
    "convolution": _convolution,
    "convolutiondepthwise": _convolution,
    "depthwiseconvolution": _convolution,
    "deconvolution": _deconvolution,
    "innerproduct": _inner_product,
}
