"""An ONNX operator in quantize: one record, with all that differs from operator to operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.torch_call import TorchCall
from stages.quantize.partition.layers import Layer

__all__ = ["Indices", "OnnxOperator", "Tie", "tie_channels", "tie_unary"]

Indices = NDArray[np.int64]
Tie = tuple[str, Indices, str, Indices]
"""Two tensors and, pair by pair, the channels of the one and of the other that share a factor."""


@dataclass(frozen=True)
class OnnxOperator:
    """An ONNX operator in quantize.

    Attributes:
        lower: adds a layer that begins with it to the integer model; None: it always runs in float.
        limits: says what keeps a node from running in integers, in the form it has; None if nothing does.
        ties: pairs channels of inputs and outputs that must share a factor when channels are scaled; None for a form
            that is not homogeneous, f(x / r) = f(x) / r for positive r. Without a rule it never is.
        divides_constants: constant operands are divided by the factors of the output's channels.
        torch: runs it in PyTorch on batches of any size, the batch axis left alone; a tensor, or a list of them.
            Without it no block that holds it is learned.
    """

    lower: Callable[[IntegerModelBuilder, Layer], None] | None = None
    limits: Callable[[Graph, onnx.NodeProto], str | None] | None = None
    ties: Callable[[Graph, onnx.NodeProto], list[Tie] | None] | None = None
    divides_constants: bool = False
    torch: Callable[[TorchCall], Any] | None = None


def tie_channels(graph: Graph, name: str, output: str) -> list[Tie] | None:
    """Tie channel by channel, where both tensors have as many."""
    before, after = graph.shapes.get(name, ()), graph.shapes.get(output, ())
    if len(before) < 2 or len(after) < 2 or before[1] != after[1]:
        return None
    channels = np.arange(before[1])
    return [(name, channels, output, channels)]


def tie_unary(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Tie the first input's channels to the output's."""
    return tie_channels(graph, node.input[0], node.output[0])
