"""From the integer model to the runtime's program: every node becomes one operation, or a few.

Pictures (rank 4) lie in memory as NHWC, other tensors as in the network. Where an operator wants its operand otherwise
(a matrix product of a picture's rows, a convolution along one axis), a movement goes before and after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.build.runtime.movement import Movement, moved, movement, physical, positions
from stages.build.runtime.program import Kind, Opcode, Operation, Program, Tensor, UnsupportedError
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import PICTURE_RANK, attribute
from stages.core.integer.dumps import dump_names
from stages.core.integer.model import DOMAIN, tensor_quant_params

__all__ = ["translate"]

Array = NDArray[Any]

RULES = {"nna": 0, "multiplier_shift": 1, "float": 2}
BINARY = {"Add": 0, "Mul": 1, "Max": 2, "Min": 3, "PRelu": 4}
UNARY = {
    "Relu": 0, "Clip": 0, "LeakyRelu": 1, "Sigmoid": 2, "Tanh": 3, "HardSigmoid": 4, "HardSwish": 5, "Exp": 6,
    "Sqrt": 7, "Neg": 8, "Abs": 9,
}  # fmt: skip
FLOAT_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Max": 4, "Min": 5, "PRelu": 6}
LARGEST_FLOAT = float(np.finfo(np.float32).max)
WIDEST = 16  # bits of a weight


def translate(model: onnx.ModelProto, inputs: Sequence[NetworkInput]) -> Program:
    """Write an integer model as a program.

    Args:
        model: the integer model, its tensors' shapes known.
        inputs: mean and normal of the network's inputs.

    Raises:
        UnsupportedError: naming a node that the runtime has no operation for.
    """
    return _Translation(model, inputs).run()


class _Translation:
    def __init__(self, model: onnx.ModelProto, inputs: Sequence[NetworkInput]) -> None:
        self.program = Program()
        self.model = model
        self.quant_params = tensor_quant_params(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.graph_inputs = [entry.name for entry in model.graph.input if entry.name not in self.constants]
        self._inputs = {entry.name: entry for entry in inputs}
        self._stems = dump_names(model)
        graph = model.graph
        self._shapes = {
            info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
            for info in (*graph.value_info, *graph.input, *graph.output)
            if info.type.tensor_type.HasField("shape")
        }
        self._numbers: dict[str, int] = {}
        self._views: dict[tuple[str, str], int] = {}
        self._node = onnx.NodeProto()

    def run(self) -> Program:
        for name in self.graph_inputs:
            elements = int(np.prod(self.shape(name)))
            self.program.inputs.append((name, elements, self._channels(name)))
        for node in self.model.graph.node:
            self._node = node
            if node.domain == DOMAIN:
                _OPERATORS[node.op_type](self, node)
            elif node.op_type in _MOVING and (node.input[0] in self.quant_params or self._is_float(node.input[0])):
                _move(self, node)
            elif node.op_type in ("MaxPool", "GlobalMaxPool"):
                _max_pool(self, node)
            elif node.input[0] not in self.quant_params and node.op_type in _FLOATS:
                _FLOATS[node.op_type](self, node)
            else:
                raise self.unsupported()
        for info in self.model.graph.output:
            self.program.outputs.append((info.name, self._real(info.name)))
        return self.program

    def unsupported(self, why: str = "") -> UnsupportedError:
        return UnsupportedError(
            f"{self._node.name} ({self._node.op_type}): the board's reference runtime does not do this{why}"
        )

    # --- tensors ---

    def shape(self, tensor: str) -> tuple[int, ...]:
        if tensor in self.constants:
            return self.constants[tensor].shape
        if 0 in self._shapes.get(tensor, (0,)):
            raise UnsupportedError(f"{tensor}: its shape is not known, which the board's reference runtime needs")
        return self._shapes[tensor]

    def new(self, tensor: Tensor) -> int:
        self.program.tensors.append(tensor)
        return len(self.program.tensors) - 1

    def stored(self, kind: Kind, values: Any, bits: int = 0, zero_point: int = 0) -> int:
        array = np.asarray(values)
        return self.new(Tensor(kind, array.shape or (1,), bits, zero_point, "", array))

    def operand(self, name: str) -> int:
        """The number of a tensor that a node takes: computed, fed, or a constant of a layer in float."""
        if name not in self._numbers:
            if name in self.graph_inputs:
                self._numbers[name] = self._fed(name, None)
            elif name in self.constants and self.constants[name].dtype == np.float32:
                values = self.constants[name]
                flat = np.empty(values.size, np.float32)
                flat[positions(values.shape).reshape(-1)] = values.reshape(-1)
                self._numbers[name] = self.stored(Kind.f32, flat.reshape(physical(values.shape)))
            else:
                raise self.unsupported(f" with {name}")
        return self._numbers[name]

    def result(self, name: str) -> int:
        """Declare a tensor that a node makes."""
        self._numbers[name] = self.new(self._like(name, physical(self.shape(name)), self._stems.get(name, "")))
        return self._numbers[name]

    def temporary(self, name: str, shape: Sequence[int]) -> int:
        """A tensor of the same kind as another, on its way to or from it."""
        return self.new(self._like(name, tuple(shape), ""))

    def _like(self, name: str, shape: tuple[int, ...], stem: str) -> Tensor:
        qparams = self.quant_params.get(name)
        if qparams is None:
            return Tensor(Kind.f32, shape or (1,), name=stem)
        kind = Kind.u8 if qparams.bits <= 8 else Kind.u16
        return Tensor(kind, shape or (1,), qparams.bits, qparams.zero_point, stem)

    def constant_codes(self, name: str, codes: Array) -> None:
        """A feature that never changes, as it lies in memory."""
        flat = np.empty(codes.size, codes.dtype)
        flat[positions(codes.shape).reshape(-1)] = codes.reshape(-1)
        like = self._like(name, physical(codes.shape), "")
        self._numbers[name] = self.new(replace(like, values=flat.reshape(like.shape)))

    def emit(self, opcode: Opcode, inputs: Sequence[int], output: int, attributes: Sequence[int]) -> None:
        whole = tuple(int(value) for value in attributes)
        self.program.operations.append(Operation(opcode, self._node.name, tuple(inputs), output, whole))

    # --- pictures that are fed, results that are handed out ---

    def _channels(self, name: str) -> int:
        shape = physical(self.shape(name))
        return shape[-1] if len(shape) == 4 else 1

    def _fed(self, name: str, codes: str | None) -> int:
        parts = [self._by_channel(name, values) for values in (self._inputs[name].mean, self._inputs[name].normal)]
        channels = max(map(len, parts))
        inputs = [self.stored(Kind.f32, np.resize(values, channels)) for values in parts]
        if codes is not None:
            inputs.append(self.stored(Kind.f32, self.quant_params[codes].scales))
        made = self.result(codes or name)
        self.emit(Opcode.input, inputs, made, [self.graph_inputs.index(name), channels])
        return made

    def _by_channel(self, name: str, values: Sequence[float]) -> NDArray[np.float32]:
        """Mean or normal as it repeats along the elements in memory: one value where all channels have the same."""
        found, shape = np.asarray(values, np.float32), self.shape(name)
        if len(shape) == PICTURE_RANK:  # channels lie last
            return found
        if (found == found[0]).all():
            return found[:1]
        return np.broadcast_to(found.reshape(-1, *[1] * (len(shape) - 2)), shape).reshape(-1)

    def feed_codes(self, name: str, codes: str) -> None:
        self._fed(name, codes)

    def is_input(self, name: str) -> bool:
        return name in self.graph_inputs

    def _is_float(self, name: str) -> bool:
        return name in self.graph_inputs or name in self._numbers

    def _real(self, name: str) -> int:
        """The float values of a result."""
        if name not in self.quant_params:
            return self.operand(name)
        codes = self._numbers[name]
        made = self.new(Tensor(Kind.f32, self.program.tensors[codes].shape))
        self._node = onnx.NodeProto(name=f"{name}/real", op_type="Dequantize")
        self.emit(Opcode.dequantize, [codes, self.scales(name)], made, self.channels(name))
        return made

    # --- channels, axes and layouts ---

    def scales(self, codes: str) -> int:
        return self.stored(Kind.f32, self.quant_params[codes].scales)

    def channels(self, codes: str) -> list[int]:
        """How many scales a tensor of codes has, and how many elements of a channel are neighbours."""
        count = len(self.quant_params[codes].scales)
        return [count, 1 if count == 1 else self.inner(codes)]

    def inner(self, tensor: str) -> int:
        """How many elements of a channel (axis 1) are neighbours in memory."""
        shape = self.shape(tensor)
        return 1 if len(shape) == 4 else int(np.prod(shape[2:], dtype=np.int64))

    def strides(self, shape: Sequence[int]) -> list[int]:
        """Along each axis in the network, the distance of neighbours in memory; 0 for an axis of one element."""
        if not shape:
            return []
        lying = physical(shape)
        steps = [int(np.prod(lying[axis + 1 :], dtype=np.int64)) for axis in range(len(lying))]
        steps = [steps[0], steps[3], steps[1], steps[2]] if len(shape) == 4 else steps
        return [step if size > 1 else 0 for step, size in zip(steps, shape, strict=True)]

    def lying(self, axes: Sequence[int]) -> list[int]:
        """Values of axes in the network, in the order in which the axes lie in memory."""
        return [axes[0], axes[2], axes[3], axes[1]] if len(axes) == 4 else list(axes)

    def broadcast(self, result: str, operands: Sequence[str]) -> list[int]:
        """Rank, and of each axis of a result its length and two operands' strides; axes joined where possible."""
        shape = self.shape(result) or (1,)
        spread = []
        for name in operands:
            taken = self.shape(name)
            spread.append(self.lying([0] * (len(shape) - len(taken)) + self.strides(taken)))
        axes: list[list[int]] = []
        for axis in zip(self.lying(shape), *spread, strict=True):
            length, *steps = axis
            if length == 1:
                continue
            if axes and all(before == step * length for before, step in zip(axes[-1][1:], steps, strict=True)):
                axes[-1] = [axes[-1][0] * length, *steps]
            else:
                axes.append([length, *steps])
        axes = axes or [[1, *[0] * len(operands)]]
        return [len(axes), *(number for axis in axes for number in axis)]

    def reduction(self, tensor: str, result: str, axes: Sequence[int]) -> list[int]:
        """Rank, and of each axis of a tensor its length and the result's stride, 0 where it is summed up."""
        shape = self.shape(tensor)
        made = self.strides(self.shape(result))
        if len(made) < len(shape):  # the axes are gone
            rest = iter(made)
            made = [0 if axis in axes else next(rest) for axis in range(len(shape))]
        steps = [0 if axis in axes else made[axis] for axis in range(len(shape))]
        pairs = zip(self.lying(shape), self.lying(steps), strict=True)
        return [len(shape), *(number for pair in pairs for number in pair)]

    def move(self, source: int, how: Movement, target: int, padded: int = 0) -> None:
        tables = [self.stored(Kind.i32, axis.table) for axis in how.axes if axis.table]
        attributes = [padded, how.base, len(how.axes)]
        for axis in how.axes:
            attributes += [axis.length, 1] if axis.table else [axis.length, 0, axis.step]
        self.emit(Opcode.move, [source, *tables], target, attributes)

    def rows(self, name: str) -> int:
        """A tensor with its last axis in the network innermost in memory."""
        return self._view(name, "rows", positions(self.shape(name)))

    def pixels(self, name: str) -> int:
        """A tensor with its channels innermost in memory."""
        if len(self.shape(name)) == 4:
            return self.operand(name)
        return self._view(name, "pixels", np.moveaxis(positions(self.shape(name)), 1, -1))

    def _view(self, name: str, kind: str, sources: NDArray[np.int64]) -> int:
        if np.array_equal(sources.reshape(-1), np.arange(sources.size)):
            return self.operand(name)
        if (name, kind) not in self._views:
            number = self.operand(name)
            self._views[name, kind] = self.temporary(name, sources.shape)
            self.move(number, movement(sources), self._views[name, kind])
        return self._views[name, kind]

    def from_rows(self, name: str, compute: Callable[[int], None]) -> None:
        """Declare a result that is computed with its last axis innermost."""
        self._arranged(name, positions(self.shape(name)), compute)

    def from_pixels(self, name: str, compute: Callable[[int], None]) -> None:
        """Declare a result that is computed with its channels innermost."""
        shape = self.shape(name)
        lying = positions(shape) if len(shape) != 4 else np.arange(int(np.prod(shape))).reshape(physical(shape))
        self._arranged(name, lying if len(shape) == 4 else np.moveaxis(lying, 1, -1), compute)

    def _arranged(self, name: str, places: NDArray[np.int64], compute: Callable[[int], None]) -> None:
        """Compute a result whose elements lie at `places` of its memory, in the order in which they are computed."""
        order = places.reshape(-1)
        if np.array_equal(order, np.arange(order.size)):
            compute(self.result(name))
            return
        computed = self.temporary(name, places.shape)
        compute(computed)
        made = self.result(name)
        sources = np.empty(order.size, np.int64)
        sources[order] = np.arange(order.size)
        self.move(computed, movement(sources.reshape(physical(self.shape(name)))), made)

    # --- parts of attributes ---

    def clamp(self, node: onnx.NodeProto) -> list[int]:
        return [attribute(node, "low", 0), attribute(node, "high", 0)]

    def scaled(self, node: onnx.NodeProto) -> list[int]:
        return [attribute(node, "shift"), *self.clamp(node)]

    def window(
        self,
        node: onnx.NodeProto,
        taken: Sequence[int],
        made: Sequence[int],
        kernel: Sequence[int],
        pads: Sequence[int],
    ) -> list[int]:
        """A window over one axis or two: n, h, w, c, ho, wo, kernel, strides, dilations, pads before."""
        rank = len(taken) - 2
        if rank not in (1, 2):
            raise self.unsupported(f" with {rank} axes")
        ones = [1] * rank

        def pair(values: Sequence[int], missing: int) -> list[int]:
            return [missing] * (2 - rank) + list(values)[:rank]

        strides, dilations = (list(attribute(node, name, ones)) for name in ("strides", "dilations"))
        if min(pads, default=0) < 0:
            raise self.unsupported(" with negative pads")
        sizes = [taken[0], *pair(taken[2:], 1), taken[1], *pair(made[2:], 1)]
        return sizes + pair(kernel, 1) + pair(strides, 1) + pair(dilations, 1) + pair(pads, 0)


# --- weighted operators ---


def _conv(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    weight, group = to.constants[node.input[1]], attribute(node, "group")
    transposed = node.op_type == "ConvTranspose"
    window = to.window(node, to.shape(x), to.shape(y), weight.shape[2:], attribute(node, "pads"))
    channels = to.shape(y)[1]
    taken = to.pixels(x)
    to.from_pixels(y, lambda made: _weighted(to, node, taken, made, _channels_last(weight, group, transposed),
                                             [int(transposed), *window, group, channels]))  # fmt: skip


def _channels_last(weight: Array, group: int, transposed: bool) -> Array:
    """Weights as [channels out, *kernel, channels in of the group]."""
    if transposed:
        grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = grouped.reshape(-1, *grouped.shape[2:])
    return np.moveaxis(weight, 1, -1)


def _mat_mul(to: _Translation, node: onnx.NodeProto) -> None:
    weight, shape = to.constants[node.input[1]], to.shape(node.input[0])
    if weight.ndim != 2:
        raise to.unsupported(f" with a weight of rank {weight.ndim}")
    window = _rows_window(shape)
    taken = to.rows(node.input[0])
    to.from_rows(node.output[0], lambda made: _weighted(to, node, taken, made, weight.T,
                                                        [0, *window, 1, weight.shape[1]]))  # fmt: skip


def _rows_window(shape: Sequence[int]) -> list[int]:
    """Rows of a matrix as pixels of a picture of one row, under a 1x1 window."""
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    return [1, 1, rows, shape[-1], 1, rows, 1, 1, 1, 1, 1, 1, 0, 0]


def _weighted(
    to: _Translation, node: onnx.NodeProto, taken: int, made: int, weight: Array, attributes: Sequence[int]
) -> None:
    """Add a weighted operation: weights, then the parameters of its rule."""
    channels, rule = attributes[-1], attribute(node, "rule").decode()
    stored = to.stored(Kind.weights, weight, bits=_width(weight))
    inputs = [taken, stored]
    for name in node.input[2:]:
        values = np.broadcast_to(to.constants[name].reshape(-1), (channels,))
        inputs.append(to.stored(Kind.f32 if values.dtype == np.float32 else Kind.i32, values))
    to.emit(Opcode.conv, inputs, made, [*attributes, RULES[rule], *to.clamp(node)])


def _width(weight: Array) -> int:
    """Bits that hold every weight."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


# --- operators on codes ---


def _quantize(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    if to.is_input(x) and len(to.quant_params[y].scales) == 1:
        to.feed_codes(x, y)
        return
    taken = to.operand(x)
    to.emit(Opcode.quantize, [taken, to.scales(y)], to.result(y), to.channels(y))


def _dequantize(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    to.emit(Opcode.dequantize, [to.operand(x), to.scales(x)], to.result(y), to.channels(x))


def _constant(to: _Translation, node: onnx.NodeProto) -> None:
    to.constant_codes(node.output[0], to.constants[node.input[0]])


def _sum(to: _Translation, node: onnx.NodeProto) -> None:
    multipliers = list(attribute(node, "multipliers"))
    _binary(to, node, node.input[0], node.input[1], (multipliers * 2)[:2], node.output[0])


def _prelu(to: _Translation, node: onnx.NodeProto) -> None:
    slopes = to.constants[node.input[1]]
    number = to.stored(Kind.i32, _lying(slopes))
    axes = to.broadcast(node.output[0], node.input)
    (positive, *_) = attribute(node, "multipliers")
    attributes = [BINARY["PRelu"], positive, 0, *to.scaled(node), *axes]
    to.emit(Opcode.binary, [to.operand(node.input[0]), number], to.result(node.output[0]), attributes)


def _lying(values: Array) -> Array:
    """A constant as it lies in memory."""
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def _extreme(to: _Translation, node: onnx.NodeProto) -> None:
    """The largest or smallest of any number of operands, two at a time; what is found already needs no scaling."""
    multipliers, unit = list(attribute(node, "multipliers")), 1 << attribute(node, "shift")
    names = list(node.input)
    if len(names) == 1:
        names, multipliers = names * 2, multipliers * 2
    _binary(to, node, names[0], names[1], multipliers[:2], node.output[0] if len(names) == 2 else "")
    for index in range(2, len(names)):
        if unit >= 2**31:
            raise to.unsupported(" with so small a gain")
        last = index == len(names) - 1
        _binary(to, node, "", names[index], [unit, multipliers[index]], node.output[0] if last else "")


def _binary(
    to: _Translation, node: onnx.NodeProto, left: str, right: str, multipliers: Sequence[int], result: str
) -> None:
    """A sum, product or extreme; "" stands for what the one before has left, in the shape of the node's output."""
    y = node.output[0]
    axes = to.broadcast(y, [left or y, right])
    first = to.operand(left) if left else to.program.operations[-1].output
    taken = [first, to.operand(right)]
    made = to.result(y) if result else to.temporary(y, physical(to.shape(y)))
    to.emit(Opcode.binary, taken, made, [BINARY[node.op_type], *multipliers, *to.scaled(node), *axes])


def _concat(to: _Translation, node: onnx.NodeProto) -> None:
    y = node.output[0]
    shape, axis = to.shape(y), attribute(node, "axis")
    at = to.lying(range(len(shape))).index(axis % len(shape))
    lengths = [int(np.prod(physical(to.shape(name))[at:], dtype=np.int64)) for name in node.input]
    outer = int(np.prod(physical(shape)[:at], dtype=np.int64))
    coded = y in to.quant_params
    multipliers = attribute(node, "multipliers") if coded else [0] * len(lengths)
    attributes = [outer, *(to.scaled(node) if coded else [1, 0, 0])]
    for length, multiplier in zip(lengths, multipliers, strict=True):
        attributes += [length, multiplier]
    to.emit(Opcode.concat, [to.operand(name) for name in node.input], to.result(y), attributes)


def _table(to: _Translation, node: onnx.NodeProto) -> None:
    x, y, entries = node.input[0], node.output[0], to.constants[node.input[1]]
    made = to.quant_params[y]
    kind = Kind.u8 if made.bits <= 8 else Kind.u16
    channels = [1, 1] if entries.ndim == 1 else [len(entries), to.inner(x)]
    stored = to.stored(kind, entries, made.bits)
    to.emit(Opcode.table, [to.operand(x), stored], to.result(y), [*channels, *to.clamp(node)])


def _mean(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    attributes = [attribute(node, "multipliers")[0], *to.scaled(node)]
    to.emit(Opcode.mean, [to.operand(x)], to.result(y), attributes + to.reduction(x, y, attribute(node, "axes")))


def _max_pool(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    if len(node.output) > 1 and node.output[1]:
        raise to.unsupported(" with indices")
    taken, shape, made = to.pixels(x), to.shape(x), to.shape(y)
    if node.op_type == "GlobalMaxPool":
        kernel, pads = list(shape[2:]), [0] * (2 * len(shape) - 4)
    else:
        kernel = list(attribute(node, "kernel_shape"))
        pads = _pads(node, shape[2:], made[2:], kernel)
    window = to.window(node, shape, made, kernel, pads)
    to.from_pixels(y, lambda number: to.emit(Opcode.max_pool, [taken], number, window))


def _pads(node: onnx.NodeProto, taken: Sequence[int], made: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """The padding before each axis of a pool or convolution."""
    rank, way = len(kernel), attribute(node, "auto_pad", b"NOTSET").decode()
    if way in ("NOTSET", "VALID"):
        given = attribute(node, "pads", [0] * (2 * rank))
        return list(given) if way == "NOTSET" else [0] * (2 * rank)
    strides, dilations = (attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    spans = [(made[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - taken[i] for i in range(rank)]
    totals = [max(span, 0) for span in spans]
    return [total // 2 if way == "SAME_UPPER" else total - total // 2 for total in totals] + [0] * rank


def _average_pool(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    window = to.window(node, to.shape(x), to.shape(y), attribute(node, "kernel_shape"), attribute(node, "pads"))
    taken, multipliers = to.pixels(x), to.stored(Kind.i32, to.constants[node.input[1]])
    attributes = [*window, *to.scaled(node)]
    to.from_pixels(y, lambda made: to.emit(Opcode.average_pool, [taken, multipliers], made, attributes))


def _resize(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    n, h, w, c = physical(to.shape(x))
    rows, columns = (to.constants[name] for name in node.input[1:3])
    inputs = [to.operand(x)]
    for matrix in (rows, columns):
        places, sources = np.nonzero(matrix)
        starts = np.searchsorted(places, np.arange(len(matrix) + 1))
        inputs += [to.stored(Kind.i32, values) for values in (starts, sources, matrix[places, sources])]
    attributes = [n, h, w, c, len(rows), len(columns), *to.scaled(node)]
    to.emit(Opcode.resize, inputs, to.result(y), attributes)


def _mat_mul_features(to: _Translation, node: onnx.NodeProto) -> None:
    attributes = [attribute(node, "multipliers")[0], *to.scaled(node)]
    _product(to, node, Opcode.mat_mul_features, attributes)


def _product(to: _Translation, node: onnx.NodeProto, opcode: Opcode, attributes: Sequence[int]) -> None:
    """A product of two computed matrices, batch by batch."""
    left, right = (to.shape(name) for name in node.input)
    if min(len(left), len(right)) < 2:
        raise to.unsupported(" with vectors")
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    taken = [to.rows(name) for name in node.input]
    for shape in (left, right):
        matrices = np.arange(int(np.prod(shape[:-2], dtype=np.int64))).reshape(shape[:-2]) * (shape[-2] * shape[-1])
        taken.append(to.stored(Kind.i32, np.broadcast_to(matrices, batch).reshape(-1)))
    sizes = [int(np.prod(batch, dtype=np.int64)), left[-2], left[-1], right[-1]]
    to.from_rows(node.output[0], lambda made: to.emit(opcode, taken, made, [*attributes, *sizes]))


_OPERATORS: dict[str, Callable[[_Translation, onnx.NodeProto], None]] = {
    "Quantize": _quantize,
    "Dequantize": _dequantize,
    "Constant": _constant,
    "Conv": _conv,
    "ConvTranspose": _conv,
    "MatMul": _mat_mul,
    "MatMulFeatures": _mat_mul_features,
    "Add": _sum,
    "Mul": _sum,
    "Concat": _concat,
    "Max": _extreme,
    "Min": _extreme,
    "Mean": _mean,
    "AveragePool": _average_pool,
    "Table": _table,
    "PRelu": _prelu,
    "Resize": _resize,
}

_MOVING = {
    "DepthToSpace", "Flatten", "Identity", "Pad", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip


def _move(to: _Translation, node: onnx.NodeProto) -> None:
    """Elements that move, codes or floats."""
    x, padded = node.input[0], 0
    if any(name and name not in to.constants for name in node.input[1:]):
        raise to.unsupported(" with computed sizes")
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
        raise to.unsupported(" with interpolation in float")
    if node.op_type == "Pad" and len(node.input) > 2 and node.input[2]:
        value = to.constants[node.input[2]]
        padded = int(value.view(np.int32).item() if value.dtype == np.float32 else value.item())
    taken = to.operand(x)
    for name, sources in zip(node.output, moved(node, to.shape(x), to.constants, to.model.opset_import), strict=True):
        lying = sources.transpose(0, 2, 3, 1) if sources.ndim == 4 else sources
        to.move(taken, movement(lying), to.result(name), padded)


# --- what stays in float ---


def _float_unary(to: _Translation, node: onnx.NodeProto) -> None:
    first, second = _float_parameters(to, node)
    parameters = to.stored(Kind.f32, np.array([first, second], np.float32))
    taken = to.operand(node.input[0])
    to.emit(Opcode.float_unary, [taken, parameters], to.result(node.output[0]), [UNARY[node.op_type]])


def _float_parameters(to: _Translation, node: onnx.NodeProto) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, LARGEST_FLOAT
    if node.op_type == "Clip":
        bounds = [-LARGEST_FLOAT, LARGEST_FLOAT]
        for index, name in enumerate(node.input[1:3]):
            if name and name not in to.constants:
                raise to.unsupported(" with computed bounds")
            bounds[index] = float(to.constants[name].item()) if name else bounds[index]
        return bounds[0], bounds[1]
    if node.op_type == "LeakyRelu":
        return attribute(node, "alpha", 0.01), 0.0
    if node.op_type == "HardSigmoid":
        return attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    return 1 / 6, 0.5  # HardSwish


def _float_binary(to: _Translation, node: onnx.NodeProto) -> None:
    if len(node.input) != 2:
        raise to.unsupported(f" with {len(node.input)} operands")
    axes = to.broadcast(node.output[0], node.input)
    taken = [to.operand(name) for name in node.input]
    to.emit(Opcode.float_binary, taken, to.result(node.output[0]), [FLOAT_BINARY[node.op_type], *axes])


def _float_conv(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    weight, group = to.constants[node.input[1]], attribute(node, "group", 1)
    transposed = node.op_type == "ConvTranspose"
    if transposed and attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        raise to.unsupported(" with auto_pad")
    pads = _pads(node, to.shape(x)[2:], to.shape(y)[2:], weight.shape[2:])
    window = to.window(node, to.shape(x), to.shape(y), weight.shape[2:], pads)
    channels = to.shape(y)[1]
    bias = to.constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(channels, np.float32)
    arranged = _channels_last(weight, group, transposed)
    taken = to.pixels(x)
    inputs = [taken, to.stored(Kind.f32, arranged), to.stored(Kind.f32, bias)]
    attributes = [int(transposed), *window, group, channels]
    to.from_pixels(y, lambda made: to.emit(Opcode.float_conv, inputs, made, attributes))


def _float_mat_mul(to: _Translation, node: onnx.NodeProto) -> None:
    gemm = node.op_type == "Gemm"
    scaled = gemm and (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)) != (1.0, 1.0)
    if scaled or (gemm and attribute(node, "transA", 0)):
        raise to.unsupported(" scaled or transposed")
    weight = to.constants.get(node.input[1])
    if weight is None or weight.ndim != 2:
        if gemm:
            raise to.unsupported(" with a computed weight")
        _product(to, node, Opcode.float_mat_mul, [])
        return
    weight = weight if gemm and attribute(node, "transB", 0) else weight.T
    bias = to.constants[node.input[2]] if gemm and len(node.input) > 2 and node.input[2] else np.zeros(1, np.float32)
    spread = np.broadcast_to(bias.reshape(-1), (len(weight),))
    taken = to.rows(node.input[0])
    inputs = [taken, to.stored(Kind.f32, weight), to.stored(Kind.f32, spread)]
    attributes = [0, *_rows_window(to.shape(node.input[0])), 1, len(weight)]
    to.from_rows(node.output[0], lambda made: to.emit(Opcode.float_conv, inputs, made, attributes))


def _float_sum(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    shape = to.shape(x)
    axes = list(range(2, len(shape)))
    if node.op_type != "GlobalAveragePool":
        given = to.constants[node.input[1]].tolist() if len(node.input) > 1 and node.input[1] else []
        axes = [axis % len(shape) for axis in attribute(node, "axes", given) or range(len(shape))]
    divisor = 1 if node.op_type == "ReduceSum" else int(np.prod([shape[axis] for axis in axes]))
    to.emit(Opcode.float_sum, [to.operand(x)], to.result(y), [divisor, *to.reduction(x, y, axes)])


def _softmax(to: _Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    shape = to.shape(x)
    opset = next(entry.version for entry in to.model.opset_import if not entry.domain)
    axis = attribute(node, "axis", -1 if opset >= 13 else 1) % len(shape)
    if opset < 13 and axis != len(shape) - 1:
        raise to.unsupported(" over several axes")
    at = to.lying(range(len(shape))).index(axis)
    lying = physical(shape)
    sizes = [np.prod(lying[:at], dtype=int), lying[at], np.prod(lying[at + 1 :], dtype=int)]
    to.emit(Opcode.softmax, [to.operand(x)], to.result(y), sizes)


_FLOATS: Mapping[str, Callable[[_Translation, onnx.NodeProto], None]] = {
    **dict.fromkeys(UNARY, _float_unary),
    **dict.fromkeys(FLOAT_BINARY, _float_binary),
    "Conv": _float_conv,
    "ConvTranspose": _float_conv,
    "Gemm": _float_mat_mul,
    "MatMul": _float_mat_mul,
    "Concat": _concat,
    "GlobalAveragePool": _float_sum,
    "ReduceMean": _float_sum,
    "ReduceSum": _float_sum,
    "Softmax": _softmax,
}
