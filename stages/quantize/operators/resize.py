"""Resize, to the nearest pixel or with linear interpolation."""

from typing import TYPE_CHECKING

import onnx

from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, attribute
from stages.core.integer.operators.resize import Resize
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.interpolation import interpolation, weight_bits
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_unary
from stages.quantize.operators.torch_call import TorchCall
from stages.quantize.partition.layers import Layer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OPERATORS"]


def _limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    mode = attribute(node, "mode", b"nearest").decode()
    if mode == "nearest":
        return None
    transformation = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    if mode != "linear" or transformation not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        return f"mode {mode} with {transformation} has no integer rule"
    if attribute(node, "antialias", 0) or len(before) != PICTURE_RANK or before[:2] != after[:2]:
        return "it does more than interpolate between pixels"
    return None


def _lower(to: IntegerModelBuilder, layer: Layer) -> None:
    node = layer.first
    if attribute(node, "mode", b"nearest") != b"linear":
        to.move(layer)
        return
    transformation = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    before, after = to.graph.shapes[node.input[0]], to.graph.shapes[node.output[0]]
    factors = to.graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    axes = [axis % len(before) for axis in attribute(node, "axes", range(len(before)))]
    scales = {} if factors is None else dict(zip(axes, factors.tolist(), strict=False))
    bits = weight_bits(to.qparams(layer.output).bits)
    rows, columns = (interpolation(before[i], after[i], transformation, bits, scales.get(i)) for i in (2, 3))
    names = [to.constant(f"{node.name}/{n}", v) for n, v in (("rows", rows), ("columns", columns))]
    to.add(Resize, [to.coded(node.input[0]), *names], layer, shift=2 * bits)


def _ties(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    crops = attribute(node, "coordinate_transformation_mode") == b"tf_crop_and_resize"
    return None if crops else tie_unary(graph, node)


def _torch(call: TorchCall) -> "Tensor":
    value, mode = call[0], call.get("mode", b"nearest")
    transformation = call.get("coordinate_transformation_mode", b"half_pixel")
    scales, sizes = call.numbers(2), call.numbers(3)
    if value.ndim != PICTURE_RANK or call.get("axes") is not None or call.get("antialias", 0):
        raise call.not_covered()
    size = (
        [int(s) for s in sizes[2:]]
        if sizes
        else [int(n * s) for n, s in zip(value.shape[2:], (scales or [])[2:], strict=True)]
    )
    interpolate = call.functional.interpolate
    if mode == b"nearest" and all(after % before == 0 for before, after in zip(value.shape[2:], size, strict=True)):
        return interpolate(value, size=size, mode="nearest")
    if mode == b"linear" and transformation in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
        return interpolate(value, size=size, mode="bilinear", align_corners=transformation == b"align_corners")
    raise call.not_covered()


OPERATORS = {"Resize": OnnxOperator(_lower, _limits, _ties, torch=_torch)}
