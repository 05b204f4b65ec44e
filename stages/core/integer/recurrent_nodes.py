"""What an RNN, GRU or LSTM node says: sizes, weights and biases of each direction, activations, lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute

__all__ = ["RecurrentNode", "recurrent_node"]

Array = NDArray[Any]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
WEIGHTS, RECURRENT_WEIGHTS, BIASES, LENGTHS, CELL_WEIGHTS = 1, 2, 3, 4, 7
"""Inputs of the nodes; 5 and 6 are the first state and the first cell."""
Activation = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class RecurrentNode:
    """A recurrent layer.

    Attributes:
        steps, batch, inputs, hidden: sizes; the input is [steps, batch, inputs].
        reverse: of each direction, whether it begins at the last step.
        weights: [directions, gates * hidden, inputs].
        recurrent_weights: [directions, gates * hidden, hidden].
        bias: [directions, gates * hidden], of the input's product.
        recurrent_bias: the same, of the state's product.
        cell_weights: [directions, 3 * hidden], of the cell in an LSTM's gates (input, output, forget).
        lengths: [batch], how many steps each row has.
        activations: of each direction: names, with alpha and beta where they are given.
        clip: the largest absolute value that enters an activation; infinite by default.
        reset_after: of a GRU: the reset gate acts on the product with the state.
    """

    steps: int
    batch: int
    inputs: int
    hidden: int
    reverse: tuple[bool, ...]
    weights: Array
    recurrent_weights: Array
    bias: Array
    recurrent_bias: Array
    cell_weights: Array
    lengths: Array
    activations: tuple[tuple[Activation, ...], ...]
    clip: float
    reset_after: bool

    @property
    def directions(self) -> int:
        """1, or 2 if it runs both ways."""
        return len(self.reverse)


def recurrent_node(node: onnx.NodeProto, x: Sequence[int], constants: Mapping[str, Array]) -> RecurrentNode | str:
    """Read a recurrent node.

    Args:
        node: an RNN, GRU or LSTM.
        x: the shape of its input.
        constants: values of constant tensors.

    Returns:
        The layer, or why it is not one that can be read: words that follow "does not do this".
    """
    kind, given = node.op_type, [*node.input, *[""] * 8]
    if attribute(node, "layout", 0) or attribute(node, "input_forget", 0):
        return "with layout or input_forget"
    for index in (WEIGHTS, RECURRENT_WEIGHTS, BIASES, LENGTHS, CELL_WEIGHTS):
        if given[index] and given[index] not in constants:
            return f"with a computed {given[index]}"
    weights, recurrent = constants[given[WEIGHTS]], constants[given[RECURRENT_WEIGHTS]]
    directions, rows, hidden = len(weights), weights.shape[1], recurrent.shape[2]
    steps, batch, inputs = x
    way = attribute(node, "direction", b"forward").decode()
    biases = constants[given[BIASES]] if given[BIASES] else np.zeros((directions, 2 * rows), np.float32)
    peepholes = constants[given[CELL_WEIGHTS]] if given[CELL_WEIGHTS] else np.zeros((directions, 3 * hidden))
    lengths = constants[given[LENGTHS]] if given[LENGTHS] else np.full(batch, steps)
    return RecurrentNode(
        steps=steps,
        batch=batch,
        inputs=inputs,
        hidden=hidden,
        reverse=(False, True) if way == "bidirectional" else (way == "reverse",),
        weights=weights,
        recurrent_weights=recurrent,
        bias=biases[:, :rows],
        recurrent_bias=biases[:, rows:],
        cell_weights=peepholes.astype(np.float32),
        lengths=lengths.astype(np.int32),
        activations=_activations(node, directions),
        clip=attribute(node, "clip", float("inf")) or float("inf"),
        reset_after=kind == "GRU" and bool(attribute(node, "linear_before_reset", 0)),
    )


def _activations(node: onnx.NodeProto, directions: int) -> tuple[tuple[Activation, ...], ...]:
    names = [name.decode() for name in attribute(node, "activations", [])] or ACTIVATIONS[node.op_type] * directions
    alphas, betas = (list(attribute(node, name, [])) for name in ("activation_alpha", "activation_beta"))
    each = []
    for index, name in enumerate(names):
        alpha = alphas[index] if len(alphas) == len(names) else None
        beta = betas[index] if len(betas) == len(names) else None
        each.append((name, alpha, beta))
    count = len(names) // directions
    return tuple(tuple(each[first : first + count]) for first in range(0, len(each), count))
