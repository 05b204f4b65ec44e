"""Reading ONNX graphs."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.base.checksums import damaged, read_bytes, stage_folder
from stages.core.base.errors import UserError, one_line

__all__ = [
    "PICTURE_RANK",
    "WEIGHTED",
    "Graph",
    "attribute",
    "captured_names",
    "check_structure",
    "infer_shapes",
    "load_model",
    "output_name",
    "parse_model",
    "subnetwork",
    "used_names",
]

PICTURE_RANK = 4
"""Axes of a batch of pictures: N, C, H, W."""
MOST_VALUES = 1024
"""Of a constant whose values may say a shape."""
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators that multiply a feature by a weight, their second input."""


def load_model(path: Path) -> onnx.ModelProto:
    """Load an ONNX file.

    Raises:
        UserError: if it is missing, is not ONNX, or is a damaged artifact.
    """
    content = read_bytes(path)
    try:
        return parse_model(content, str(path))
    except UserError as error:
        if stage_folder(path):
            raise damaged(path, "it is not ONNX") from error
        raise


def parse_model(content: bytes, name: str) -> onnx.ModelProto:
    """Parse the bytes of an ONNX file.

    Raises:
        UserError: if they are not ONNX.
    """
    try:
        model = onnx.load_from_string(content)
        _check_names(model)
        _check_types(model)
    except (DecodeError, ValueError) as error:  # of names that are no text too
        raise UserError(f"{name} is not an ONNX file: {one_line(error)}") from error
    if not model.graph.node:
        raise UserError(f"{name} is not an ONNX file: it holds no nodes")
    return model


def _check_names(model: onnx.ModelProto) -> None:
    """Refuse names of the main graph that are no text; protobuf gives them as bytes.

    Raises:
        ValueError: if one is not UTF-8.
    """
    graph = model.graph
    names: list[object] = [opset.domain for opset in model.opset_import]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [name for proto in node.attribute for name in (proto.name, proto.ref_attr_name)]
    names += [each.name for each in (*graph.initializer, *graph.input, *graph.output, *graph.value_info)]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("it has names that are not UTF-8")


def _check_types(model: onnx.ModelProto) -> None:
    """Refuse types of inputs and constants that ONNX does not know.

    Raises:
        ValueError: naming the tensor.
    """
    graph, known = model.graph, set(onnx.TensorProto.DataType.values())
    types = {info.name: info.type.tensor_type.elem_type for info in (*graph.input, *graph.output)}
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    for name, kind in types.items():
        if kind not in known:
            raise ValueError(f"tensor {name!r} is of type {kind}, which ONNX does not know")


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Give a node's attribute, or `default`."""
    for proto in node.attribute:
        if proto.name == name:
            return onnx.helper.get_attribute_value(proto)
    return default


def used_names(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Every input of some nodes, and of the bodies of their If, Loop and Scan."""
    return {name for node in nodes for name in (*node.input, *captured_names(node))}


def captured_names(node: onnx.NodeProto) -> set[str]:
    """Tensors that the bodies of an If, Loop or Scan name: what they capture, and their own, which do no harm."""
    return {name for body in _bodies(node) for name in _named(body)}


def output_name(node: onnx.NodeProto, tensor: str) -> str:
    """Name a node's output in tables and node-bits files: as the node; a further output as node:tensor."""
    return str(node.name) if node.output[0] == tensor else f"{node.name}:{tensor}"


@dataclass
class Graph:
    """A view of a model's main graph, indexed by tensor name. Build it anew after changing the model.

    Attributes:
        model: the model it shows; shapes are inferred on a copy.
        producers: tensor -> node whose output it is.
        consumers: tensor -> nodes whose input it is, in graph order.
        constants: initializer name -> its proto.
        shapes: tensor -> static shape, where known.
        types: tensor -> type as far as known: kind of element and what is known of the shape.
        float_tensors: float32 tensors that are computed or fed, in graph order: inputs first.
        captured: tensors of this graph that the bodies of If, Loop and Scan use.
    """

    model: onnx.ModelProto
    producers: dict[str, onnx.NodeProto] = field(init=False)
    consumers: dict[str, list[onnx.NodeProto]] = field(init=False)
    constants: dict[str, onnx.TensorProto] = field(init=False)
    shapes: dict[str, list[int]] = field(init=False)
    types: dict[str, onnx.TypeProto] = field(init=False)
    float_tensors: list[str] = field(init=False)
    captured: set[str] = field(init=False)

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self.consumers = {}
        for node in graph.node:
            for name in dict.fromkeys(filter(None, node.input)):
                self.consumers.setdefault(name, []).append(node)
        try:
            inferred = onnx.shape_inference.infer_shapes(_without_weights(self.model)).graph
        except Exception as error:  # InferenceError, and others for a graph that is none
            raise UserError(f"the network's shapes do not fit: {one_line(error)}") from error
        fed = {info.name for info in graph.input}
        inputs = [info for info in inferred.input if info.name in fed]
        self.types = {info.name: info.type for info in (*inferred.value_info, *inputs, *inferred.output)}
        infos = {name: kind.tensor_type for name, kind in self.types.items()}
        self.shapes = {name: [d.dim_value for d in info.shape.dim] for name, info in infos.items() if _static(info)}
        self.captured = {name for node in graph.node for name in captured_names(node)}
        self.float_tensors = [
            name
            for name in (*self.inputs, *self.producers)
            if name in infos and infos[name].elem_type == onnx.TensorProto.FLOAT
        ]

    @cached_property
    def float_names(self) -> frozenset[str]:
        """The names in `float_tensors`."""
        return frozenset(self.float_tensors)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes in topological order."""
        return list(self.model.graph.node)

    @property
    def inputs(self) -> list[str]:
        """Names of the fed inputs (initializers left out)."""
        return [info.name for info in self.model.graph.input if info.name not in self.constants]

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [info.name for info in self.model.graph.output]

    def constant(self, name: str) -> NDArray[Any] | None:
        """An initializer's value, or None for a computed tensor."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """Whether a Conv works on each input channel alone: as many groups as channels, more than one."""
        weight = self.constants.get(node.input[1]) if node.op_type == "Conv" else None
        return weight is not None and weight.dims[1] == 1 and attribute(node, "group", 1) > 1


def infer_shapes(model: onnx.ModelProto, *, data_prop: bool = False) -> None:
    """Note the shapes of all tensors that follow from those of the inputs, in place.

    Args:
        model: the network.
        data_prop: whether shapes that are computed count too.
    """
    inferred = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=data_prop).graph
    for part in ("node", "output", "value_info"):
        del getattr(model.graph, part)[:]
        getattr(model.graph, part).extend(getattr(inferred, part))


def check_structure(model: onnx.ModelProto) -> None:
    """Have ONNX's checker look at all but the bytes of the weights.

    Raises:
        onnx.checker.ValidationError: naming what is wrong.
    """
    onnx.checker.check_model(_without_weights(model))


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a network with inputs in the place of large constants: shapes do not follow from their values.

    Inference copies what it is given several times, and weights are nearly all of a network.
    """
    graph = model.graph
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    light.graph.name = graph.name
    fed = {info.name for info in graph.input}
    for part in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, part).extend(getattr(graph, part))
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= MOST_VALUES:
            light.graph.initializer.append(tensor)
        elif tensor.name not in fed:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [proto.g for proto in node.attribute if proto.type == onnx.AttributeProto.GRAPH]


def _named(body: onnx.GraphProto) -> Iterator[str]:
    for node in body.node:
        yield from node.input
        for inner in _bodies(node):
            yield from _named(inner)
    yield from (info.name for info in body.output)


def _static(info: onnx.TypeProto.Tensor) -> bool:
    return info.HasField("shape") and all(dim.HasField("dim_value") for dim in info.shape.dim)


def subnetwork(
    graph: Graph,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Write some nodes as a network of their own, with the constants that they use and that are not fed.

    Args:
        graph: that they are of.
        nodes: in graph order.
        inputs: what they are fed with, types as they are to be.
        outputs: what they give.
    """
    used, fed = used_names(nodes), {info.name for info in inputs}
    constants = [tensor for name, tensor in graph.constants.items() if name in used and name not in fed]
    source = graph.model
    return onnx.helper.make_model(
        onnx.helper.make_graph(nodes, source.graph.name, inputs, outputs, constants),
        opset_imports=list(source.opset_import),
        ir_version=source.ir_version,
    )
