"""RNN, GRU and LSTM: an operation a direction, then movements to the node's outputs."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import (
    Clamp,
    Concat,
    ConcatPart,
    FloatUnaryFunction,
    Kind,
    Opcode,
    Recurrent,
    RecurrentCell,
    Scaled,
)
from stages.build.runtime.movement import movement
from stages.build.runtime.program import Tensor
from stages.build.runtime.translate.translation import Translation
from stages.core.integer.dumps import nhwc
from stages.core.integer.operators import Operator
from stages.core.integer.recurrent_nodes import RecurrentNode, recurrent_node

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

FUNCTIONS = {
    "Relu": (FloatUnaryFunction.clip, 0.0, float(np.finfo(np.float32).max)),
    "LeakyRelu": (FloatUnaryFunction.leaky_relu, 0.01, 0.0),
    "Sigmoid": (FloatUnaryFunction.sigmoid, 0.0, 0.0),
    "Tanh": (FloatUnaryFunction.tanh, 0.0, 0.0),
    "HardSigmoid": (FloatUnaryFunction.hard_sigmoid, 0.2, 0.5),
    "Softplus": (FloatUnaryFunction.softplus, 0.0, 0.0),
}
NOT_SCALED = Scaled(1, Clamp(0, 0))


def _recurrent(to: Translation, node: onnx.NodeProto) -> None:
    layer = recurrent_node(node, to.shape(node.input[0]), to.constants)
    if isinstance(layer, str):
        raise to.unsupported(f" {layer}")
    parts = [_direction(to, node, layer, number) for number in range(layer.directions)]
    steps, batch, hidden = layer.steps, layer.batch, layer.hidden
    size = (steps + 2) * batch * hidden
    whole = parts[0]
    if len(parts) > 1:
        whole = to.new(Tensor(Kind.f32, (len(parts), steps + 2, batch, hidden)))
        joined = Concat(1, NOT_SCALED, (ConcatPart(size, 0),) * len(parts))
        to.emit(Opcode.concat, parts, whole, joined)
    lying = np.arange(len(parts) * size).reshape(len(parts), steps + 2, batch, hidden)
    outputs = (lying[:, :steps].transpose(1, 0, 2, 3), lying[:, steps], lying[:, steps + 1])
    for name, sources in zip(node.output, outputs, strict=False):
        if name:
            to.move(whole, movement(nhwc(sources)), to.result(name))


def _direction(to: Translation, node: onnx.NodeProto, layer: RecurrentNode, number: int) -> int:
    """Add one direction; gives the number of its states."""
    functions, parameters = [], []
    for name, alpha, beta in layer.activations[number]:
        if name not in FUNCTIONS:
            raise to.unsupported(f" with the activation {name}")
        function, first, second = FUNCTIONS[name]
        functions.append(function)
        parameters += [first if alpha is None else alpha, second if beta is None else beta]
    functions += [FloatUnaryFunction.tanh] * (3 - len(functions))
    parameters += [0.0] * (6 - len(parameters))
    inputs = [to.operand(node.input[0])]
    inputs += [to.stored(Kind.f32, value[number]) for value in (layer.weights, layer.recurrent_weights)]
    inputs += [to.stored(Kind.f32, value[number]) for value in (layer.bias, layer.recurrent_bias)]
    inputs += [_state(to, node, layer, number, index) for index in (5, 6)]
    inputs += [to.stored(Kind.f32, layer.cell_weights[number]), to.stored(Kind.i32, layer.lengths)]
    inputs.append(to.stored(Kind.f32, np.array([*parameters, layer.clip], np.float32)))
    output = to.new(Tensor(Kind.f32, (layer.steps + 2, layer.batch, layer.hidden)))
    sizes = (layer.steps, layer.batch, layer.inputs, layer.hidden)
    cell = RecurrentCell.gru_reset_after if layer.reset_after else RecurrentCell[node.op_type.lower()]
    to.emit(Opcode.recurrent, inputs, output, Recurrent(cell, int(layer.reverse[number]), *sizes, *functions))
    return output


def _state(to: Translation, node: onnx.NodeProto, layer: RecurrentNode, number: int, index: int) -> int:
    """The first state or cell of a direction: an input of the node, or zeros."""
    size = layer.batch * layer.hidden
    if len(node.input) <= index or not node.input[index]:
        return to.stored(Kind.f32, np.zeros(size, np.float32))
    if layer.directions == 1:
        return to.operand(node.input[index])
    target = to.new(Tensor(Kind.f32, (layer.batch, layer.hidden)))
    to.move(to.operand(node.input[index]), movement(np.arange(number * size, (number + 1) * size)), target)
    return target


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = dict.fromkeys(
    ("GRU", "LSTM", "RNN"), _recurrent
)
