"""RNN, GRU and LSTM in double: a Scan over the steps, whose body is one step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.core.integer.float_forms import Rewriter
from stages.core.integer.recurrent_nodes import RecurrentNode, recurrent_node

__all__ = ["recurrent_in_double"]

FIRST_STATE, FIRST_CELL = 5, 6


class _Step:
    """The body of a Scan while it is written; values of [batch, hidden] in double.

    Args:
        layer: the recurrent layer.
        direction: 0, or 1 of a layer that runs both ways.
        prefix: of all names, which must not be those of tensors around the body.
    """

    def __init__(self, layer: RecurrentNode, direction: int, prefix: str) -> None:
        self.layer, self.direction, self._prefix = layer, direction, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.state, self.cell, self.given, self.counts = map(self.name, ("state", "cell", "given", "counts"))

    def name(self, part: str) -> str:
        """The full name of something in the body."""
        return f"{self._prefix}/step/{part}"

    def op(self, kind: str, *inputs: str | np.ndarray | np.generic, y: str = "", **attributes: Any) -> str:
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        output = y or self.name(f"{kind}{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def constant(self, value: np.ndarray | np.generic) -> str:
        name = self.name(f"constant{len(self.nodes)}")
        tensor = numpy_helper.from_array(np.asarray(value))
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def gate(self, *terms: str, function: int = 0) -> str:
        """A gate: the sum of terms, limited, through an activation."""
        total = terms[0]
        for term in terms[1:]:
            total = self.op("Add", total, term)
        return self.activated(total, function)

    def activated(self, x: str, function: int) -> str:
        """One of the layer's activations of what is limited before."""
        if np.isfinite(self.layer.clip):
            limit = np.float64(np.float32(self.layer.clip))
            x = self.op("Clip", x, -limit, limit)
        return self._function(x, *self.layer.activations[self.direction][function])

    def _function(self, x: str, name: str, alpha: float | None, beta: float | None) -> str:
        one = np.float64(1)
        if name == "Sigmoid":
            return self.op("Reciprocal", self.op("Add", self.op("Exp", self.op("Neg", x)), one))
        if name == "HardSigmoid":
            slope, bias = (np.float64(np.float32(given)) for given in (alpha or 0.2, 0.5 if beta is None else beta))
            return self.op("Clip", self.op("Add", self.op("Mul", x, slope), bias), np.float64(0), one)
        if name == "LeakyRelu":
            slope = np.float64(np.float32(0.01 if alpha is None else alpha))
            return self.op("Where", self.op("Less", x, np.float64(0)), self.op("Mul", x, slope), x)
        if name == "Softplus":
            power = self.op("Exp", self.op("Neg", self.op("Abs", x)))
            return self.op("Add", self.op("Max", x, np.float64(0)), self.op("Log", self.op("Add", power, one)))
        return self.op(name, x)

    def part(self, x: str, number: int) -> str:
        """The columns of one gate."""
        hidden = self.layer.hidden
        ends = (np.array([value], np.int64) for value in (number * hidden, (number + 1) * hidden, 1))
        return self.op("Slice", x, *ends)

    def product(self, state: str, first: int, count: int) -> str:
        """A state times the recurrent weights of some gates, and their bias."""
        rows = slice(first * self.layer.hidden, (first + count) * self.layer.hidden)
        weights = self.layer.recurrent_weights[self.direction][rows].astype(np.float64)
        bias = self.layer.recurrent_bias[self.direction][rows].astype(np.float64)
        return self.op("Add", self.op("MatMul", state, np.ascontiguousarray(weights.T)), bias)


def recurrent_in_double(to: Rewriter, node: onnx.NodeProto) -> None:
    """Write a recurrent layer in double; one that cannot be read stays as it is."""
    shape = to.shape(node.input[0])
    layer = "" if shape is None else recurrent_node(node, shape, to.constants)
    if isinstance(layer, str):
        to.keep(node)
        return
    x = to.op("Cast", node.input[0], to=TensorProto.DOUBLE)
    parts = [_direction(to, node, layer, number, x) for number in range(layer.directions)]
    axes = ((1, [layer.steps, 1, layer.batch, layer.hidden]), *[(0, [1, layer.batch, layer.hidden])] * 2)
    for index, (axis, sizes) in enumerate(axes):
        if len(node.output) > index and node.output[index]:
            each = [to.reshape(part[index], sizes) for part in parts]
            whole = to.op("Concat", *each, axis=axis) if len(each) > 1 else each[0]
            to.op("Cast", whole, y=node.output[index], to=TensorProto.FLOAT)


def _direction(to: Rewriter, node: onnx.NodeProto, layer: RecurrentNode, number: int, x: str) -> tuple[str, str, str]:
    """Add one direction; gives its states of all steps, the last state and the last cell."""
    lengths, reverse = layer.lengths.astype(np.int64), layer.reverse[number]
    if reverse:
        x = to.op("ReverseSequence", x, lengths, time_axis=0, batch_axis=1)
    weights = np.ascontiguousarray(layer.weights[number].T.astype(np.float64))
    given = to.op("Add", to.op("MatMul", x, weights), layer.bias[number].astype(np.float64))
    counted = np.arange(layer.steps)[:, None, None] < lengths[:, None]
    first = [_first(to, node, layer, number, index) for index in (FIRST_STATE, FIRST_CELL)]
    names = [f"{given}/{part}" for part in ("state", "cell", "states")]
    to.add(
        helper.make_node(
            "Scan",
            [*first, given, to.constant(counted)],
            names,
            name=f"{given}/scan",
            num_scan_inputs=2,
            body=_body(node.op_type, _Step(layer, number, given)),
        )
    )
    states = to.op("ReverseSequence", names[2], lengths, time_axis=0, batch_axis=1) if reverse else names[2]
    return states, names[0], names[1]


def _first(to: Rewriter, node: onnx.NodeProto, layer: RecurrentNode, number: int, index: int) -> str:
    """The first state or cell of a direction: zeros where none is given."""
    if not to.has(node, index):
        return to.constant(np.zeros((layer.batch, layer.hidden)))
    cut = (np.array([value], np.int64) for value in (number, number + 1, 0))
    row = to.reshape(to.op("Slice", node.input[index], *cut), [layer.batch, layer.hidden])
    return to.op("Cast", row, to=TensorProto.DOUBLE)


def _body(kind: str, step: _Step) -> onnx.GraphProto:
    """One step: the new state and cell, which stay what they are behind the end of a row."""
    layer = step.layer
    state, cell = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}[kind](step)
    outputs = [
        step.op("Where", step.counts, state, step.state),
        step.op("Where", step.counts, cell, step.cell),
        step.op("Where", step.counts, state, np.float64(0)),
    ]
    double, size = TensorProto.DOUBLE, [layer.batch, layer.hidden]
    rows = layer.weights.shape[1]
    inputs: Sequence[tuple[str, int, list[int]]] = [
        (step.state, double, size),
        (step.cell, double, size),
        (step.given, double, [layer.batch, rows]),
        (step.counts, TensorProto.BOOL, [layer.batch, 1]),
    ]
    return helper.make_graph(
        step.nodes,
        "step",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(name, double, size) for name in outputs],
    )


def _rnn(step: _Step) -> tuple[str, str]:
    return step.gate(step.given, step.product(step.state, 0, 1)), step.cell


def _gru(step: _Step) -> tuple[str, str]:
    """Gates lie as update, reset, hidden."""
    both = step.product(step.state, 0, 2)
    update, reset = (step.gate(step.part(step.given, n), step.part(both, n)) for n in (0, 1))
    if step.layer.reset_after:
        recurred = step.op("Mul", reset, step.product(step.state, 2, 1))
    else:
        recurred = step.product(step.op("Mul", reset, step.state), 2, 1)
    candidate = step.gate(step.part(step.given, 2), recurred, function=1)
    rest = step.op("Mul", step.op("Sub", np.float64(1), update), candidate)
    return step.op("Add", rest, step.op("Mul", update, step.state)), step.cell


def _lstm(step: _Step) -> tuple[str, str]:
    """Gates lie as input, output, forget, cell; the cell's own weights as input, output, forget."""
    recurred, hidden = step.product(step.state, 0, 4), step.layer.hidden
    peepholes = step.layer.cell_weights[step.direction].astype(np.float64).reshape(3, hidden)

    def gate(number: int, cell: str, weights: int) -> str:
        parts = [step.part(step.given, number), step.part(recurred, number)]
        return step.gate(*parts, step.op("Mul", cell, peepholes[weights]))

    into, forget = gate(0, step.cell, 0), gate(2, step.cell, 2)
    candidate = step.gate(step.part(step.given, 3), step.part(recurred, 3), function=1)
    cell = step.op("Add", step.op("Mul", forget, step.cell), step.op("Mul", into, candidate))
    curve = step.activated(cell, 2)
    return step.op("Mul", gate(1, cell, 1), curve), cell
