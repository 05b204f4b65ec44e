"""What a rewrite asks of the graph around a node, and how it writes nodes in its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.core.graph.onnx_graph import Graph, attribute
from stages.export.layout.nodes import add_constant, unused_name

__all__ = ["Match", "Rewrite"]


@dataclass
class Match:
    """A node that may be rewritten.

    The node may be the last of several that together compute something. Those before it stay in the network for as long
    as something else reads them, so that a rewrite need not ask who does.

    Attributes:
        model: the network; takes new constants.
        graph: a view of it, as it was before any node of this round was rewritten.
        node: the node.
        opset: the version of the standard's operators.
        written: the nodes that stand for it, in order.
    """

    model: onnx.ModelProto
    graph: Graph
    node: onnx.NodeProto
    opset: int
    written: list[onnx.NodeProto] = field(default_factory=list)

    # --- reading ---

    def shape(self, tensor: str) -> list[int] | None:
        """A tensor's static shape, or None."""
        constant = self.graph.constants.get(tensor)
        return self.graph.shapes.get(tensor) if constant is None else list(constant.dims)

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """A constant's value; None for a computed tensor or an input that is left out."""
        return self.graph.constant(tensor) if tensor else None

    def input(self, index: int, node: onnx.NodeProto | None = None) -> str:
        """An input's name; empty where it is left out."""
        inputs = (node or self.node).input
        return str(inputs[index]) if index < len(inputs) else ""

    def number(self, tensor: str) -> float | None:
        """The value of a constant that holds one number; None for others."""
        value = self.constant(tensor)
        return float(value.item()) if value is not None and value.size == 1 and value.dtype.kind == "f" else None

    def is_float(self, tensor: str) -> bool:
        """Whether a tensor is computed or fed, and float32."""
        kind = self.graph.types.get(tensor)
        return (
            tensor not in self.graph.constants
            and kind is not None
            and kind.tensor_type.elem_type == onnx.TensorProto.FLOAT
        )

    def producer(self, tensor: str, *kinds: str) -> onnx.NodeProto | None:
        """The node whose first output a tensor is, if it is one of some operators."""
        node = self.graph.producers.get(tensor)
        return node if node is not None and node.op_type in kinds and node.output[0] == tensor else None

    def sides(self, node: onnx.NodeProto) -> tuple[str, str] | None:
        """The computed and the constant operand of a node of two operands; None if it has not one of each."""
        left, right = node.input[:2]
        if right in self.graph.constants and left not in self.graph.constants:
            return left, right
        if left in self.graph.constants and right not in self.graph.constants:
            return right, left
        return None

    def scaled(self, tensor: str) -> tuple[str, float] | None:
        """What a tensor is a multiple of, by a constant number, and the factor; None if it is no such product."""
        node = self.producer(tensor, "Mul", "Div")
        sides = self.sides(node) if node is not None else None
        number = self.number(sides[1]) if sides else None
        if node is None or sides is None or number is None or (node.op_type == "Div" and not number):
            return None
        if node.op_type == "Mul":
            return sides[0], number
        return (sides[0], 1.0 / number) if sides[0] == node.input[0] else None

    def shifted(self, tensor: str) -> tuple[str, float] | None:
        """What a tensor is the sum of, with a constant number, and that number; None if it is no such sum."""
        node = self.producer(tensor, "Add", "Sub")
        sides = self.sides(node) if node is not None else None
        number = self.number(sides[1]) if sides else None
        if node is None or sides is None or number is None:
            return None
        if node.op_type == "Add":
            return sides[0], number
        return (sides[0], -number) if sides[0] == node.input[0] else None

    def axes(self, node: onnx.NodeProto, index: int = 1) -> list[int] | None:
        """The axes of a node, counted from 0, by attribute or input; None where they are left out or computed."""
        shape = self.shape(node.input[0])
        given = attribute(node, "axes")
        tensor = self.input(index, node)
        if given is None and tensor:
            value = self.constant(tensor)
            given = None if value is None else value.reshape(-1).tolist()
        return None if given is None or shape is None else sorted(int(axis) % len(shape) for axis in given)

    # --- writing ---

    def value(self, suffix: str, value: NDArray[Any] | Sequence[Any] | float) -> str:
        """Add a constant, floats as float32 and whole numbers as int64; gives its name."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        return add_constant(self.model, self.graph, f"{self.node.output[0]}/{suffix}", array)

    def add(self, kind: str, inputs: Sequence[str], suffix: str, **attributes: Any) -> str:
        """Write a node on the way to the result; gives its output."""
        target = unused_name(self.graph, f"{self.node.output[0]}/{suffix}")
        name = f"{self.node.name or self.node.output[0]}/{suffix}"
        self.written.append(helper.make_node(kind, list(inputs), [target], name, **attributes))
        return target

    def finish(self, kind: str, inputs: Sequence[str], **attributes: Any) -> list[onnx.NodeProto]:
        """Write the node that has the name and the output of the rewritten one; gives all that was written."""
        node = helper.make_node(kind, list(inputs), [self.node.output[0]], self.node.name or None, **attributes)
        self.written.append(node)
        return self.written


Rewrite = Callable[[Match], list[onnx.NodeProto] | None]
"""Gives the nodes in place of a node; None to leave it."""
