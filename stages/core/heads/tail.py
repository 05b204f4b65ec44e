"""The end of a network: what is between its last convolutions and its outputs."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import PICTURE_RANK, WEIGHTED, Graph, attribute, used_names
from stages.core.graph.session import Runner, with_outputs
from stages.core.heads.detections import Floats

__all__ = ["SELECTORS", "Grid", "Tail", "find_tail"]

SELECTORS = {"Compress", "If", "Loop", "NonMaxSuppression", "NonZero", "Scan", "TopK"}
"""Operators that choose rows, or may: what comes after them has another order than the head's."""
AFFINE = {"Add", "Sub", "Mul", "Div", "BatchNormalization", "Identity"}
"""Operators that, with a constant for each channel, belong to the convolution before them."""
STRIDES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Pixels of the input a cell, of any network that halves its pictures."""
PICTURE_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8)
LOGIT_DEVIATION = 1.5
"""Standard deviation of the random values that stand for the last convolutions': scores from 0.01 to 0.99."""


@dataclass(frozen=True)
class Grid:
    """The last convolutions that have cells of one size.

    Attributes:
        stride: pixels of the input a cell.
        rows: cells from top to bottom.
        columns: cells from left to right.
        channels: tensor -> its channels, in the order in which the graph computes them.
    """

    stride: int
    rows: int
    columns: int
    channels: dict[str, int]


@dataclass(frozen=True)
class Tail:
    """What follows the last convolutions, run on random values in their place.

    Random values reach every branch of the decoding, which a random picture's scores, all near 0, do not.

    Attributes:
        height: of the network's input in pixels.
        width: of the network's input in pixels.
        grids: the last convolutions by stride, the finest first.
        cut_values: output of a last convolution -> the random values in its place, [1, C, H, W].
        values: tensor -> its value, for each float tensor that follows from them and that no selector precedes.
        outputs: the graph's outputs, in order.
        selectors: operators that choose rows, such as TopK, in graph order.
    """

    height: int
    width: int
    grids: tuple[Grid, ...]
    cut_values: dict[str, Floats]
    values: dict[str, Floats]
    outputs: tuple[str, ...]
    selectors: tuple[str, ...]


def find_tail(model: onnx.ModelProto) -> Tail | None:
    """Find a network's last convolutions and run what follows them.

    Args:
        model: a network with one picture of a static size as its input.

    Returns:
        None if the network has another kind of input, or if no picture-shaped convolution is last.

    Raises:
        UserError: if the picture's size is not static, or if ONNX Runtime cannot run the network.
    """
    graph = Graph(model)
    picture = _picture(graph)
    if picture is None:
        return None
    cuts, shape_tensors = _boundary(graph)
    name, shape = picture
    sample = np.random.default_rng(0).uniform(0, 255, shape)
    typed = sample.astype(onnx.helper.tensor_dtype_to_np_dtype(graph.types[name].tensor_type.elem_type))
    boundary = _run_network(model, [*cuts, *shape_tensors], {name: typed}) if cuts else {}
    channels_last = shape[1] > shape[3]
    height, width = shape[1:3] if channels_last else shape[2:]
    grids = _grids({cut: boundary[cut].shape for cut in cuts}, height, width)
    if not grids:
        return None
    values = np.random.default_rng(1)
    for cut in cuts:
        boundary[cut] = values.normal(0, LOGIT_DEVIATION, boundary[cut].shape).astype(boundary[cut].dtype)
    tail_nodes, selectors = _tail_nodes(graph, boundary)
    results = _run(model, tail_nodes, boundary | {name: typed})  # a shortcut may lead from the picture to the tail
    floats = {tensor: np.asarray(value, np.float32) for tensor, value in results.items() if _is_float(value)}
    cut_values = {cut: np.asarray(boundary[cut], np.float32) for cut in cuts}
    return Tail(height, width, grids, cut_values, cut_values | floats, tuple(graph.outputs), selectors)


def _run_network(model: onnx.ModelProto, tensors: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return _run_checked(with_outputs(model, tensors), feeds)


def _run_checked(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Run a model; what ONNX Runtime refuses, random values out of an index's range for instance, is a UserError."""
    try:
        return dict(Runner(model).run(feeds))
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime's own exception types share no base
        raise UserError(f"ONNX Runtime cannot run the network: {one_line(error)}") from error


def _picture(graph: Graph) -> tuple[str, list[int]] | None:
    """The one input and its shape if it is a picture; a batch that is not static becomes 1."""
    if len(graph.inputs) != 1:
        return None
    name = graph.inputs[0]
    kind = graph.types[name].tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if len(sizes) != PICTURE_RANK or kind.elem_type not in PICTURE_TYPES:
        return None
    shape = [max(sizes[0], 1), *sizes[1:]]
    if min(shape) < 1 or shape[0] != 1:
        raise UserError(
            f"input {name} has the shape {sizes} (0: not static), so that no head can be found: give it the static "
            f"shape of one picture, as in model.inputs=[{{name: {name}, shape: [1,3,640,640]}}]"
        )
    return name, shape


def _boundary(graph: Graph) -> tuple[list[str], list[str]]:
    """Outputs of the last convolutions in graph order, and shapes of what is before them."""
    convolutions, shapes = set(), set()
    for node in _walk_back(graph, graph.outputs, lambda node: _is_weighted(graph, node) or node.op_type == "Shape"):
        if node.op_type == "Shape":
            shapes.add(node.output[0])
        elif _is_weighted(graph, node):
            convolutions.add(_with_affine(graph, node))
    following = set(convolutions)
    for node in graph.nodes:
        if not following.isdisjoint(used_names([node])):
            following.update(node.output)
    return [name for name in graph.producers if name in convolutions], sorted(shapes - following)


def _walk_back(graph: Graph, tensors: Iterable[str], stops: Any) -> Iterator[onnx.NodeProto]:
    """Each node that some tensors follow from, going back no further than nodes at which `stops` is true."""
    pending, seen = list(tensors), set()
    while pending:
        node = graph.producers.get(pending.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        yield node
        if not stops(node):
            pending.extend(used_names([node]))


def _is_weighted(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node multiplies by trained weights: by 0, 1, 2, ... it takes the mean of a distribution."""
    if node.op_type not in WEIGHTED or len(node.input) < 2:
        return False
    weight = _constant(graph, node.input[1])
    return weight is not None and not np.array_equal(weight.ravel(), np.arange(weight.size))


def _with_affine(graph: Graph, node: onnx.NodeProto) -> str:
    """A convolution's output after its bias or scale, where these are nodes of their own."""
    tensor = str(node.output[0])
    weight = _constant(graph, node.input[1])
    channels = 0 if weight is None else weight.shape[1 if node.op_type == "ConvTranspose" else 0]
    while tensor not in graph.outputs and len(consumers := graph.consumers.get(tensor, [])) == 1:
        constants = [_constant(graph, name) for name in consumers[0].input if name != tensor]
        per_channel = all(constant is not None and _is_per_channel(constant, channels) for constant in constants)
        if consumers[0].op_type not in AFFINE or not per_channel:
            break
        tensor = str(consumers[0].output[0])
    return tensor


def _constant(graph: Graph, name: str) -> NDArray[Any] | None:
    """The value of an initializer or of a Constant node's output."""
    node = graph.producers.get(name)
    if node is not None and node.op_type == "Constant" and (value := attribute(node, "value")) is not None:
        return numpy_helper.to_array(value)
    return graph.constant(name)


def _is_per_channel(constant: NDArray[Any], channels: int) -> bool:
    return constant.size == 1 or constant.shape in ((channels,), (channels, 1, 1), (1, channels, 1, 1))


def _grids(shapes: Mapping[str, tuple[int, ...]], height: int, width: int) -> tuple[Grid, ...]:
    grids: dict[tuple[int, int], Grid] = {}
    for tensor, shape in shapes.items():
        if len(shape) != PICTURE_RANK:
            continue
        rows, columns = shape[2:]
        strides = [s for s in STRIDES if (math.ceil(height / s), math.ceil(width / s)) == (rows, columns)]
        if len(strides) == 1:
            grids.setdefault((rows, columns), Grid(strides[0], rows, columns, {})).channels[tensor] = shape[1]
    return tuple(sorted(grids.values(), key=lambda grid: grid.stride))


def _tail_nodes(graph: Graph, boundary: Mapping[str, Any]) -> tuple[list[onnx.NodeProto], tuple[str, ...]]:
    """The nodes from the boundary to the outputs without selectors and what follows them; the selectors' types."""
    reached = {
        node.output[0]
        for node in _walk_back(graph, graph.outputs, lambda node: not boundary.keys().isdisjoint(node.output))
    }
    kept, unknown, selectors = [], set(), []
    for node in graph.nodes:
        if node.output[0] not in reached or node.output[0] in boundary:
            continue
        domain = "" if node.domain == "ai.onnx" else node.domain
        known = domain == "com.microsoft" or onnx.defs.has(node.op_type, domain)
        if not known or node.op_type in SELECTORS:
            selectors.append(str(node.op_type))
            unknown.update(node.output)
        elif unknown.isdisjoint(used_names([node])):
            kept.append(node)
        else:
            unknown.update(node.output)
    return kept, tuple(dict.fromkeys(selectors))


def _run(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run some of a model's nodes; gives every output of theirs."""
    outputs = [name for node in nodes for name in node.output if name]
    if not outputs:
        return {}
    used = used_names(nodes)
    fed = {name: value for name, value in feeds.items() if name in used}
    subgraph = onnx.ModelProto(ir_version=model.ir_version)
    subgraph.opset_import.extend(model.opset_import)
    subgraph.functions.extend(model.functions)
    subgraph.graph.name = "tail"
    subgraph.graph.node.extend(nodes)
    subgraph.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    subgraph.graph.input.extend(_tensor_info(name, value) for name, value in fed.items())
    subgraph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return _run_checked(subgraph, fed)


def _tensor_info(name: str, value: NDArray[Any]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype in (np.float16, np.float32) and value.size > 0
