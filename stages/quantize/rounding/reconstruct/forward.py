"""A subgraph in PyTorch: its nodes run on batches of any size."""

from typing import TYPE_CHECKING

import onnx
import torch

from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.quantize.operators import ONNX_OPERATORS
from stages.quantize.operators.torch_call import Constants, TorchCall

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Values", "run_node"]

Values = dict[str, "Tensor"]


def run_node(
    node: onnx.NodeProto, values: Values, constants: Constants, weight: "tuple[Tensor, Tensor | None] | None"
) -> None:
    """Compute a node's outputs into `values`.

    Args:
        node: the node.
        values: tensors computed so far; those of 4 dimensions lie channels last.
        constants: the network's.
        weight: of a weighted node: the weight to use, in ONNX's layout, and the bias; None for the node's own.

    Raises:
        NotImplementedError: for an operator, or a form of it, that is not covered. Some forms that need more than one
            picture at a time are not noticed here: they give another shape or other values than ONNX Runtime, or one
            of PyTorch's errors.
    """
    operator = ONNX_OPERATORS.get(node.op_type)
    if operator is None or operator.torch is None:
        raise NotImplementedError(f"{node.op_type} is not covered")
    outputs = operator.torch(TorchCall(node, values, constants, weight))
    for name, y in zip(node.output, outputs if isinstance(outputs, list) else [outputs], strict=False):
        picture = y.ndim == PICTURE_RANK
        values[name] = y.contiguous(memory_format=torch.channels_last) if picture else y.contiguous()
