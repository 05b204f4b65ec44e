"""Operators that multiply by weights."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Operator

__all__ = ["CONVERTERS"]


def _convolution(graph: GraphBuilder, operator: Operator) -> None:
    _require_layout(operator)
    attributes = operator.attributes
    kernel = attributes.integers("kernel")
    pads = attributes.integers("pad") or (0,) * len(kernel)
    graph.add(
        "Conv",
        _with_bias(operator, bias=True),
        operator.name,
        [operator.name],
        kernel_shape=kernel,
        strides=attributes.integers("stride") or (1,) * len(kernel),
        dilations=attributes.integers("dilate") or (1,) * len(kernel),
        pads=[*pads, *pads],
        group=attributes.integer("num_group", 1),
    )


def _deconvolution(graph: GraphBuilder, operator: Operator) -> None:
    _require_layout(operator)
    attributes = operator.attributes
    kernel = attributes.integers("kernel")
    strides = attributes.integers("stride") or (1,) * len(kernel)
    dilations = attributes.integers("dilate") or (1,) * len(kernel)
    pads = attributes.integers("pad") or (0,) * len(kernel)
    adjust = attributes.integers("adj") or (0,) * len(kernel)
    ends = [pad - more for pad, more in zip(pads, adjust, strict=True)]
    if any(target := attributes.integers("target_shape")):
        sizes = graph.shapes[operator.inputs[0]][2:]
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        totals = [(n - 1) * s + k - t for n, s, k, t in zip(sizes, strides, spans, target, strict=True)]
        pads = tuple((total + 1) // 2 for total in totals)
        ends = [total - pad for total, pad in zip(totals, pads, strict=True)]
    if min(ends) >= 0 and min(pads) >= 0:
        extra, outside = None, [*pads, *ends]
    else:
        extra, outside = [max(-end, 0) for end in ends], [*pads, *np.maximum(ends, 0).tolist()]
    graph.add(
        "ConvTranspose",
        _with_bias(operator, bias=False),
        operator.name,
        [operator.name],
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=outside,
        output_padding=extra,
        group=attributes.integer("num_group", 1),
    )


def _fully_connected(graph: GraphBuilder, operator: Operator) -> None:
    """The weight times all but the batch, or times the last axis."""
    value, weight, *bias = _with_bias(operator, bias=True)
    rank = len(graph.shapes[value])
    if operator.attributes.flag("flatten", True) or rank == 2:
        flat = value if rank == 2 else graph.add("Flatten", [value], f"{operator.name}/Flatten", axis=1)
        graph.add("Gemm", [flat, weight, *bias], operator.name, [operator.name], transB=1)
        return
    turned = graph.add("Transpose", [weight], f"{operator.name}/Transpose", perm=[1, 0])
    product = graph.add("MatMul", [value, turned], operator.name, () if bias else [operator.name])
    if bias:
        graph.add("Add", [product, *bias], f"{operator.name}/Add", [operator.name])


def _dot(graph: GraphBuilder, operator: Operator) -> None:
    """A product of matrices, either of them transposed."""
    inputs = []
    for position, side in enumerate(("a", "b")):
        name = operator.inputs[position]
        if operator.attributes.flag(f"transpose_{side}", False):
            axes = list(range(len(graph.shapes[name])))
            perm = [*axes[:-2], axes[-1], axes[-2]]
            name = graph.add("Transpose", [name], f"{operator.name}/Transpose_{side}", perm=perm)
        inputs.append(name)
    if operator.kind == "dot" and any(len(graph.shapes[name]) != 2 for name in inputs):
        raise UserError(f"{operator.where} has an input that is no matrix")
    graph.add("MatMul", inputs, operator.name, [operator.name])


def _upsampling(graph: GraphBuilder, operator: Operator) -> None:
    """Each pixel repeated; or a depthwise deconvolution, whose weight is a bilinear kernel."""
    attributes = operator.attributes
    scale = attributes.integer("scale", 2)
    if attributes.text("sample_type", "nearest") == "nearest":
        if len(operator.inputs) != 1:
            raise UserError(f"{operator.where} has {len(operator.inputs)} inputs; one can be read")
        scales = graph.constant(f"{operator.name}/scales", np.array([1, 1, scale, scale], np.float32))
        graph.add(
            "Resize",
            [operator.inputs[0], "", scales],
            operator.name,
            [operator.name],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return
    pad = scale // 2
    graph.add(
        "ConvTranspose",
        operator.inputs[:2],
        operator.name,
        [operator.name],
        kernel_shape=[2 * scale - scale % 2] * 2,
        strides=[scale, scale],
        pads=[pad] * 4,
        group=graph.shapes[operator.inputs[0]][1],
    )


def _with_bias(operator: Operator, *, bias: bool) -> list[str]:
    """The inputs, without a bias that is switched off; `bias`: whether there is one by default."""
    return list(operator.inputs[: 2 if operator.attributes.flag("no_bias", not bias) else 3])


def _require_layout(operator: Operator) -> None:
    layout = operator.attributes.text("layout", "None")
    if layout not in ("None", "NCHW", "NCW", "NCDHW"):
        raise UserError(f"{operator.where} has the layout {layout}: export the network with channels first, NCHW")


CONVERTERS = {
    "Convolution": _convolution,
    "Convolution_v1": _convolution,
    "Deconvolution": _deconvolution,
    "FullyConnected": _fully_connected,
    "UpSampling": _upsampling,
    "batch_dot": _dot,
    "dot": _dot,
}
