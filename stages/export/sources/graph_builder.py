"""Writing an ONNX graph node by node, with the shape of each tensor at hand."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from stages.core.base.errors import UserError, one_line

__all__ = ["GraphBuilder"]

OPSET = 17  # as PyTorch modules are traced: vendors' converters read it
IR_VERSION = 8  # of the same age
SHAPE_VALUES = 16
"""Constants up to this many elements are given to shape inference: shapes, axes and sizes are small."""


class GraphBuilder:
    """A graph that grows. Every tensor has a static shape from the moment that its node is added.

    Attributes:
        shapes: tensor -> its shape.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        """Start an empty graph; `reserved` names are for outputs that are named when their node is added."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._reserved = set(reserved)
        self._types: dict[str, onnx.TypeProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[str] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._names: set[str] = set()

    def input(self, name: str, shape: Sequence[int]) -> str:
        """Add a float32 input of the network; gives its name."""
        self._inputs.append(name)
        self._note(name, helper.make_tensor_type_proto(TensorProto.FLOAT, shape))
        return name

    def constant(self, name: str, values: ArrayLike, *, reserved: bool = False) -> str:
        """Add a constant; gives its name, which has a number where the name is in use.

        Args:
            name: the name.
            values: float32 if they are floats of any size, int64 if they are integers.
            reserved: the name is one of those that were reserved, and now comes to its use.
        """
        array = np.asarray(values)
        array = array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32)
        name = name if reserved else self.unique(name)
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        self._note(name, helper.make_tensor_type_proto(self._constants[name].data_type, array.shape))
        return name

    def value(self, name: str) -> NDArray[Any] | None:
        """The value of a constant, or None for a computed tensor."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def unique(self, name: str) -> str:
        """A name that no tensor has or will have: this one, or with a number."""
        count, free = 1, name
        while free in self._types or free in self._reserved:
            count += 1
            free = f"{name}_{count}"
        return free

    def add(self, op_type: str, inputs: Sequence[str], name: str, outputs: Sequence[str] = (), **settings: Any) -> str:
        """Add a node.

        Args:
            op_type: an operator of ONNX.
            inputs: its tensors.
            name: of the node.
            outputs: names for its outputs, none of them in use; empty: one output that is named as the node.
            settings: its attributes; None is left out.

        Returns:
            The name of its first output.

        Raises:
            UserError: if the inputs do not fit the operator.
        """
        outputs = list(outputs) or [self.unique(name)]
        given = {key: value for key, value in settings.items() if value is not None}
        node = helper.make_node(op_type, list(inputs), outputs, name=self._node_name(name), **given)
        for output, inferred in self._inferred(node).items():
            self._note(output, inferred)
        self._nodes.append(node)
        return outputs[0]

    def model(self, outputs: Iterable[str]) -> onnx.ModelProto:
        """The graph as a model with these outputs; constants that no node uses are left out."""
        infos = {name: [helper.make_value_info(name, self._types[name])] for name in (*self._inputs, *outputs)}
        used = {name for node in self._nodes for name in node.input}
        graph = helper.make_graph(
            self._nodes,
            "network",
            [info for name in self._inputs for info in infos[name]],
            [info for name in outputs for info in infos[name]],
            [tensor for name, tensor in self._constants.items() if name in used],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _note(self, name: str, kind: onnx.TypeProto) -> None:
        self._types[name] = kind
        self.shapes[name] = tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)

    def _node_name(self, name: str) -> str:
        count, free = 1, name
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free

    def _inferred(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        """Types of a node's outputs."""
        small = {
            name: self._constants[name]
            for name in node.input
            if name in self._constants and int(np.prod(self.shapes[name])) <= SHAPE_VALUES
        }
        try:
            inferred = shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, OPSET),
                node,
                {name: self._types[name] for name in node.input if name},
                small,
                opset_imports=[helper.make_opsetid("", OPSET)],
                ir_version=IR_VERSION,
            )
        except (shape_inference.InferenceError, RuntimeError) as error:
            raise UserError(f"{node.name} ({node.op_type}) does not fit its inputs: {one_line(error)}") from error
        if missing := [name for name in node.output if name and name not in inferred]:
            raise UserError(f"{node.name} ({node.op_type}): the shape of {missing[0]} cannot be inferred")
        return dict(inferred)
