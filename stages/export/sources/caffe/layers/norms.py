"""Normalization, and factors and shifts of channels."""

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]

EPSILON = 1e-5


def _batch_norm(graph: GraphBuilder, layer: Layer) -> None:
    """Mean and variance, both times a factor that is stored with them; factor and shift may follow."""
    mean, variance, factor, *affine = layer.need_blobs(3)
    scale = np.float32(0.0 if factor.ravel()[0] == 0 else 1.0 / factor.ravel()[0])
    epsilon = layer.message.message("batch_norm_param").number("eps", EPSILON)
    gamma, beta = affine if len(affine) == 2 else (np.ones_like(mean), np.zeros_like(mean))
    _add_batch_norm(graph, layer, (gamma, beta, mean * scale, variance * scale), epsilon)


def _bn(graph: GraphBuilder, layer: Layer) -> None:
    """The layer of PSPNet's Caffe: factor, shift, mean, variance."""
    gamma, beta, mean, variance = layer.need_blobs(4)[:4]
    epsilon = layer.message.message("bn_param").number("eps", EPSILON)
    _add_batch_norm(graph, layer, (gamma, beta, mean, variance), epsilon)


def _add_batch_norm(graph: GraphBuilder, layer: Layer, arrays: tuple[NDArray[np.float32], ...], epsilon: float) -> None:
    names = ("scale", "shift", "mean", "variance")
    channels = graph.shapes[layer.inputs[0]][1]
    if any(array.size != channels for array in arrays):
        raise UserError(f"{layer.where} takes {channels} channels; its arrays have {[a.size for a in arrays]} values")
    constants = [
        graph.constant(f"{layer.name}/{name}", array.ravel()) for name, array in zip(names, arrays, strict=True)
    ]
    graph.add("BatchNormalization", [layer.inputs[0], *constants], layer.name, layer.outputs, epsilon=epsilon)


def _scale(graph: GraphBuilder, layer: Layer) -> None:
    """Times a weight, or times the second input, from an axis on; then a shift."""
    parameters = layer.message.message("scale_param")
    axis = parameters.integer("axis", 1)
    if len(layer.inputs) > 1:
        factor = _ranked_input(graph, layer, axis)
        shift = layer.blobs[:1]
    else:
        weight, *rest = layer.need_blobs(1)
        shift = tuple(rest)
        if len(graph.shapes[layer.inputs[0]]) == PICTURE_RANK and axis in (1, -3) and weight.ndim == 1:
            _depthwise(graph, layer, weight, shift)
            return
        factor = graph.constant(f"{layer.name}/scale", _ranked(graph, layer, weight, axis))
    product = graph.add("Mul", [layer.inputs[0], factor], layer.name, () if shift else layer.outputs)
    if shift:
        added = graph.constant(f"{layer.name}/shift", _ranked(graph, layer, shift[0], axis))
        graph.add("Add", [product, added], f"{layer.name}/Add", layer.outputs)


def _depthwise(
    graph: GraphBuilder, layer: Layer, weight: NDArray[np.float32], shift: tuple[NDArray[np.float32], ...]
) -> None:
    """One factor a channel is a depthwise 1x1 convolution."""
    inputs = [layer.inputs[0], graph.constant(f"{layer.name}/weight", weight.reshape(-1, 1, 1, 1))]
    inputs += [graph.constant(f"{layer.name}/bias", array.ravel()) for array in shift]
    graph.add("Conv", inputs, layer.name, layer.outputs, group=weight.size, kernel_shape=[1, 1])


def _bias(graph: GraphBuilder, layer: Layer) -> None:
    """Plus a weight, or plus the second input, from an axis on."""
    axis = layer.message.message("bias_param").integer("axis", 1)
    if len(layer.inputs) > 1:
        added = _ranked_input(graph, layer, axis)
    else:
        added = graph.constant(f"{layer.name}/bias", _ranked(graph, layer, layer.need_blobs(1)[0], axis))
    graph.add("Add", [layer.inputs[0], added], layer.name, layer.outputs)


def _ranked(graph: GraphBuilder, layer: Layer, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The values with as many axes as the input has from `axis` on, so that they broadcast."""
    rank = len(graph.shapes[layer.inputs[0]])
    return values.reshape(*values.shape, *[1] * (rank - axis % rank - values.ndim))


def _ranked_input(graph: GraphBuilder, layer: Layer, axis: int) -> str:
    shape, other = (graph.shapes[name] for name in layer.inputs[:2])
    ranked = [*[1] * (axis % len(shape)), *other]
    ranked += [1] * (len(shape) - len(ranked))
    if len(ranked) == len(other):
        return layer.inputs[1]
    sizes = graph.constant(f"{layer.name}/shape", ranked)
    return graph.add("Reshape", [layer.inputs[1], sizes], f"{layer.name}/Reshape")


def _lrn(graph: GraphBuilder, layer: Layer) -> None:
    """Each element by a power of the mean square around it: over channels, or over a square of pixels."""
    parameters = layer.message.message("lrn_param")
    size = parameters.integer("local_size", 5)
    alpha, beta = parameters.number("alpha", 1.0), parameters.number("beta", 0.75)
    bias = parameters.number("k", 1.0)
    if parameters.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL")) == "ACROSS_CHANNELS":
        graph.add("LRN", layer.inputs, layer.name, layer.outputs, size=size, alpha=alpha, beta=beta, bias=bias)
        return
    value = layer.inputs[0]
    square = graph.add("Mul", [value, value], f"{layer.name}/square")
    mean = graph.add(
        "AveragePool",
        [square],
        f"{layer.name}/AveragePool",
        kernel_shape=[size, size],
        pads=[size // 2] * 4,
        count_include_pad=1,
    )
    scaled = graph.add("Mul", [mean, graph.constant(f"{layer.name}/alpha", np.float32(alpha))], f"{layer.name}/scaled")
    one = graph.constant(f"{layer.name}/one", np.float32(1.0))
    power = graph.constant(f"{layer.name}/beta", np.float32(beta))
    shifted = graph.add("Add", [scaled, one], f"{layer.name}/Add")
    divisor = graph.add("Pow", [shifted, power], f"{layer.name}/Pow")
    graph.add("Div", [value, divisor], layer.name, layer.outputs)


def _normalize(graph: GraphBuilder, layer: Layer) -> None:
    """By the L2 norm over the channels, or over all but the batch; times a factor a channel."""
    parameters = layer.message.message("norm_param")
    axes = [1, 2, 3] if parameters.flag("across_spatial", True) else [1]
    epsilon = graph.constant(f"{layer.name}/epsilon", np.float32(parameters.number("eps", 1e-10)))
    value = layer.inputs[0]
    square = graph.add("Mul", [value, value], f"{layer.name}/square")
    total = graph.add(
        "ReduceSum", [square, graph.constant(f"{layer.name}/axes", axes)], f"{layer.name}/sum", keepdims=1
    )
    norm = graph.add("Sqrt", [graph.add("Add", [total, epsilon], f"{layer.name}/Add")], f"{layer.name}/norm")
    scale = layer.need_blobs(1)[0].reshape(1, -1, 1, 1)
    normalized = graph.add("Div", [value, norm], f"{layer.name}/Div")
    graph.add("Mul", [normalized, graph.constant(f"{layer.name}/scale", scale)], layer.name, layer.outputs)


def _mvn(graph: GraphBuilder, layer: Layer) -> None:
    """Minus the mean of each channel, or of all; divided by the deviation."""
    parameters = layer.message.message("mvn_param")
    axes = [1, 2, 3] if parameters.flag("across_channels", False) else [2, 3]
    divides = parameters.flag("normalize_variance", True)
    mean = graph.add("ReduceMean", [layer.inputs[0]], f"{layer.name}/mean", axes=axes)
    shifted = graph.add("Sub", [layer.inputs[0], mean], layer.name, () if divides else layer.outputs)
    if not divides:
        return
    square = graph.add("Mul", [shifted, shifted], f"{layer.name}/square")
    variance = graph.add("ReduceMean", [square], f"{layer.name}/variance", axes=axes)
    root = graph.add("Sqrt", [variance], f"{layer.name}/deviation")
    epsilon = graph.constant(f"{layer.name}/epsilon", np.float32(parameters.number("eps", 1e-9)))
    divisor = graph.add("Add", [root, epsilon], f"{layer.name}/Add")
    graph.add("Div", [shifted, divisor], f"{layer.name}/Div", layer.outputs)


CONVERTERS = {
    "batchnorm": _batch_norm,
    "bias": _bias,
    "bn": _bn,
    "lrn": _lrn,
    "mvn": _mvn,
    "normalize": _normalize,
    "scale": _scale,
}
