"""Which float tensors are never negative, and which lack the activation that their quantizer stands for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import WEIGHTED, attribute

__all__ = ["Signs"]

NOT_NEGATIVE = {"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"}
"""Operators whose output is never negative."""
MOVES = {
    "DepthToSpace", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip
KEEPS_SIGN = MOVES | WEIGHTED | {
    "Add", "AveragePool", "Concat", "Expand", "GlobalAveragePool", "GlobalMaxPool", "Mul", "ReduceMax", "ReduceMean",
    "ReduceSum", "Tile",
}  # fmt: skip
"""Operators whose output is not negative if no input is."""


@dataclass
class Signs:
    """What is known of the tensors that were written.

    Attributes:
        not_negative: those that have no negative value.
        linear: those that a layer with weights computes, without an activation since: an activation may follow.
        constant: those that nodes compute from constants alone, such as a weight that is transposed.
    """

    not_negative: set[str] = field(default_factory=set)
    linear: set[str] = field(default_factory=set)
    constant: set[str] = field(default_factory=set)

    def lacks_activation(self, tensor: str) -> bool:
        """Whether codes of the tensor that start at 0 cut off values that its operator computes."""
        return tensor in self.linear and tensor not in self.not_negative

    def note(self, node: onnx.NodeProto, value_of: Callable[[str], NDArray[Any] | None]) -> None:
        """Note what is known of a node's outputs.

        Args:
            node: its inputs have been noted before.
            value_of: gives the value of a constant, None for a computed tensor.
        """
        values = {name: value_of(name) for name in node.input if name}
        computed = [name for name, value in values.items() if value is None and name not in self.constant]
        if not computed:
            self.constant.update(node.output)
            return
        if node.op_type in NOT_NEGATIVE or self._clamps(node, values) or self._keeps_sign(node, values):
            self.not_negative.update(node.output)
        if self._is_linear(node, computed):
            self.linear.update(node.output)

    def _keeps_sign(self, node: onnx.NodeProto, values: dict[str, NDArray[Any] | None]) -> bool:
        """Whether no input has a negative value, nor can the output have one."""
        return node.op_type in KEEPS_SIGN and all(
            name in self.not_negative if value is None else value.dtype.kind != "f" or bool((value >= 0).all())
            for name, value in values.items()
        )

    def _clamps(self, node: onnx.NodeProto, values: dict[str, NDArray[Any] | None]) -> bool:
        """Whether a Clip cuts off what is negative."""
        if node.op_type != "Clip":
            return False
        floor = values.get(node.input[1]) if len(node.input) > 1 else attribute(node, "min")
        return floor is not None and float(floor) >= 0

    def _is_linear(self, node: onnx.NodeProto, computed: list[str]) -> bool:
        """Whether a node is a layer with weights, or adds to one, scales it or moves its values."""
        if node.op_type in WEIGHTED | {"BatchNormalization"}:
            return len(computed) == 1
        if node.op_type in MOVES | {"AveragePool"} or (node.op_type == "Mul" and len(computed) == 1):
            return computed[:1] != [] and computed[0] in self.linear
        return node.op_type == "Add" and not self.linear.isdisjoint(computed)
