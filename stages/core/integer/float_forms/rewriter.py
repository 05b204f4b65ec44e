"""A model while its layers in float are rewritten: nodes and constants are added behind each other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import Graph, infer_shapes

__all__ = ["Array", "Rewriter", "Rule"]

Array = NDArray[Any]
AXES_ARE_AN_INPUT = 18
"""The opset from which on all reductions take their axes as an input; ReduceSum does from 13 on."""


class Rewriter:
    """The nodes that are written so far.

    Args:
        model: the model that is rewritten.

    Attributes:
        graph: the model that is rewritten.
        opset: version of ONNX's operators.
        constants: values of constant tensors.
        again: whether something was added that has a rule itself.
        renamed: tensor that turned out to be a constant -> name of that constant.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = Graph(model)
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._added: list[onnx.TensorProto] = []
        self._node = onnx.NodeProto()
        self._count = 0
        self._taken = {*self.graph.constants, *self.graph.producers, *self.graph.inputs}
        self.opset = next((each.version for each in model.opset_import if not each.domain), 1)
        self.constants: dict[str, Array] = {
            name: numpy_helper.to_array(tensor) for name, tensor in self.graph.constants.items()
        }
        self.renamed: dict[str, str] = {}
        self.again = False

    @property
    def opset_import(self) -> Sequence[onnx.OperatorSetIdProto]:
        """The model's operator sets."""
        return list(self._model.opset_import)

    def enter(self, node: onnx.NodeProto) -> None:
        """Begin with a node: what is added is named after it from here on."""
        self._node, self._count = node, 0

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of the model that is rewritten."""
        return list(self._model.graph.node)

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node that was made elsewhere."""
        self._nodes.append(node)

    def keep(self, node: onnx.NodeProto) -> None:
        """Add a node as it is."""
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [self.renamed.get(name, name) for name in node.input]
        self._nodes.append(kept)

    def shape(self, tensor: str) -> list[int] | None:
        """The shape of a tensor of the model; None where it is not known."""
        if tensor in self.constants:
            return list(self.constants[tensor].shape)
        shape = self.graph.shapes.get(tensor)
        return None if shape is None or 0 in shape else shape

    def value(self, node: onnx.NodeProto, index: int) -> Array | None:
        """The value of an input that is constant; None where it is computed or left out."""
        name = node.input[index] if len(node.input) > index else ""
        return self.constants.get(self.renamed.get(name, name)) if name else None

    def has(self, node: onnx.NodeProto, index: int) -> bool:
        """Whether an input is given."""
        return len(node.input) > index and bool(node.input[index])

    def element(self, tensor: str) -> int:
        """ONNX's number of the type of a tensor's elements; where it is not known, float32."""
        if tensor in self.constants:
            return int(helper.np_dtype_to_tensor_dtype(self.constants[tensor].dtype))
        kind = self.graph.types.get(tensor)
        return onnx.TensorProto.FLOAT if kind is None else kind.tensor_type.elem_type

    def is_float(self, tensor: str) -> bool:
        """Whether a tensor holds float32."""
        return self.element(tensor) == onnx.TensorProto.FLOAT

    def zero(self, like: str) -> Array:
        """0 as a number of the same type as a tensor's."""
        return np.zeros((), helper.tensor_dtype_to_np_dtype(self.element(like)))

    def _free(self, part: str) -> str:
        """A name for a part of the current node that nothing has yet."""
        name = f"{self._node.name or self._node.output[0]}/{part}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def constant(self, value: ArrayLike) -> str:
        """Add a constant; gives its name."""
        array = np.asarray(value)
        name = self._free(f"constant{len(self._added)}")
        self._added.append(numpy_helper.from_array(array, name))
        self.constants[name] = array
        return name

    def name_constant(self, name: str, value: Array) -> None:
        """Add a constant of a given name."""
        self._added.append(numpy_helper.from_array(value, name))
        self.constants[name] = value

    def op(self, kind: str, *inputs: str | Array | np.generic, y: str = "", **attributes: Any) -> str:
        """Add a node.

        Args:
            kind: its operator.
            inputs: names of tensors, or constant values.
            y: the tensor that it computes; a new one by default.
            attributes: its attributes.

        Returns:
            The name of its output.
        """
        names = [self.renamed.get(each, each) if isinstance(each, str) else self.constant(each) for each in inputs]
        output = y or self._free(f"{kind}{self._count}")
        name = self._node.name if y and y == self._node.output[0] else output
        self._count += 1
        self._nodes.append(helper.make_node(kind, names, [output], name=name, **attributes))
        return output

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: int = 1, y: str = "") -> str:
        """Add a reduction over axes, in the form of the model's opset."""
        as_input = self.opset >= AXES_ARE_AN_INPUT or kind == "ReduceSum"
        if as_input:
            return self.op(kind, x, np.array(axes, np.int64), y=y, keepdims=keepdims)
        return self.op(kind, x, y=y, axes=list(axes), keepdims=keepdims)

    def reshape(self, x: str, shape: Sequence[int], y: str = "") -> str:
        """Add a Reshape."""
        return self.op("Reshape", x, np.array(shape, np.int64), y=y)

    def finish(self) -> onnx.ModelProto:
        """The rewritten model, with the shapes of the tensors that were added."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        del copy.graph.node[:]
        copy.graph.node.extend(self._nodes)
        copy.graph.initializer.extend(self._added)
        infer_shapes(copy, data_prop=True)
        return copy


Rule = Callable[[Rewriter, onnx.NodeProto], None]
