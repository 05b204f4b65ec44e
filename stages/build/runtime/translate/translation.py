"""A program while it is written: tensors in memory, movements between layouts, operations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.build.runtime.contract import (
    Attributes,
    BroadcastAxis,
    Input,
    Kind,
    Lines,
    Move,
    MoveAxis,
    Opcode,
    ReductionAxis,
    Scales,
    Window,
    words,
)
from stages.build.runtime.movement import Movement, movement, physical, positions
from stages.build.runtime.program import Operation, Program, Tensor, UnsupportedError
from stages.build.runtime.translate.layout import broadcast_axes, channel_run, in_memory, reduction_axes
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.integer.dumps import nhwc
from stages.core.integer.model import tensor_quant_params

__all__ = ["Array", "Translation"]

Array = NDArray[Any]
KINDS = {
    onnx.TensorProto.FLOAT: Kind.f32,
    onnx.TensorProto.INT32: Kind.i32,
    onnx.TensorProto.INT64: Kind.i64,
    onnx.TensorProto.BOOL: Kind.boolean,
    onnx.TensorProto.DOUBLE: Kind.f64,
    onnx.TensorProto.INT8: Kind.i8,
    onnx.TensorProto.UINT8: Kind.byte,
}
"""ONNX's types of the numbers that the runtime computes with."""


class Translation:
    """A program while it is written, and the number of every tensor.

    Args:
        model: the integer model, its tensors' shapes known, its layers in float as basic operators.
        inputs: mean and normal of the network's inputs.
        stems: tensor -> name of its dump.
    """

    def __init__(self, model: onnx.ModelProto, inputs: Sequence[NetworkInput], stems: Mapping[str, str]) -> None:
        self.program = Program()
        self.model = model
        self.quant_params = tensor_quant_params(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.graph_inputs = [info.name for info in model.graph.input if info.name not in self.constants]
        self._inputs = {each.name: each for each in inputs}
        self._stems = stems
        graph = model.graph
        infos = (*graph.value_info, *graph.input, *graph.output)
        self._shapes = {
            info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
            for info in infos
            if info.type.tensor_type.HasField("shape")
        }
        self._types = {info.name: info.type.tensor_type.elem_type for info in infos}
        self._numbers: dict[str, int] = {}
        self._views: dict[tuple[str, str], int] = {}
        self._node = onnx.NodeProto()

    # --- the run ---

    def begin(self) -> None:
        """Declare the network inputs."""
        for name in self.graph_inputs:
            elements = int(np.prod(self.shape(name)))
            self.program.inputs.append((name, elements, self._channels(name)))

    def enter(self, node: onnx.NodeProto) -> None:
        """Begin with a node: operations are named after it from here on."""
        self._node = node

    def finish(self) -> None:
        """Declare the network outputs."""
        for info in self.model.graph.output:
            self.program.outputs.append((info.name, self._real(info.name)))

    def unsupported(self, why: str = "") -> UnsupportedError:
        """The error for a node that the runtime has no operation for; `why` follows."""
        return UnsupportedError(
            f"{self._node.name} ({self._node.op_type}): the board's reference runtime does not do this{why}"
        )

    # --- tensors ---

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor in the network."""
        if tensor in self.constants:
            return self.constants[tensor].shape
        if 0 in self._shapes.get(tensor, (0,)):
            raise UnsupportedError(f"{tensor}: its shape is not known, which the board's reference runtime needs")
        return self._shapes[tensor]

    def new(self, tensor: Tensor) -> int:
        """Add a tensor; gives its number."""
        self.program.tensors.append(tensor)
        return len(self.program.tensors) - 1

    def stored(self, kind: Kind, values: Any, bits: int = 0, zero_point: int = 0) -> int:
        """Add a constant; gives its number."""
        array = np.asarray(values)
        return self.new(Tensor(kind, array.shape or (1,), bits, zero_point, "", array))

    def operand(self, name: str) -> int:
        """The number of a node's input: a computed tensor, a network input, or a constant of a layer in float."""
        if name not in self._numbers:
            if name in self.graph_inputs:
                self.need_kind(name, Kind.f32)
                self._numbers[name] = self._feed(name, None)
            elif name in self.constants:
                values = self.constants[name]
                flat = np.empty(values.size, values.dtype)
                flat[positions(values.shape).reshape(-1)] = values.reshape(-1)
                self._numbers[name] = self.stored(self.kind(name), flat.reshape(physical(values.shape)))
            else:
                raise self.unsupported(f" with {name}")
        return self._numbers[name]

    def kind(self, name: str) -> Kind:
        """What a tensor that holds no codes is made of."""
        if name in self.constants:
            element = onnx.helper.np_dtype_to_tensor_dtype(self.constants[name].dtype)
        else:
            element = self._types.get(name, onnx.TensorProto.FLOAT) or onnx.TensorProto.FLOAT
        if element not in KINDS:
            raise self.unsupported(f" with {onnx.TensorProto.DataType.Name(element).lower()} numbers")
        return KINDS[element]

    def need_kind(self, name: str, *kinds: Kind) -> Kind:
        """Refuse a node whose operand is made of something else."""
        kind = self.kind(name)
        if kind not in kinds:
            raise self.unsupported(f" with {kind.name} numbers")
        return kind

    def result(self, name: str) -> int:
        """Declare an output of a node."""
        self._numbers[name] = self.new(self._like(name, physical(self.shape(name)), self._stems.get(name, "")))
        return self._numbers[name]

    def temporary(self, name: str, shape: Sequence[int]) -> int:
        """Declare an intermediate tensor of the same kind as another."""
        return self.new(self._like(name, tuple(shape), ""))

    def _like(self, name: str, shape: tuple[int, ...], stem: str) -> Tensor:
        qparams = self.quant_params.get(name)
        if qparams is None:
            return Tensor(self.kind(name), shape or (1,), name=stem)
        kind = Kind.u8 if qparams.bits <= 8 else Kind.u16
        return Tensor(kind, shape or (1,), qparams.bits, qparams.zero_point, stem)

    def constant_codes(self, name: str, codes: Array) -> None:
        """Add the codes of a constant feature, in memory order."""
        flat = np.empty(codes.size, codes.dtype)
        flat[positions(codes.shape).reshape(-1)] = codes.reshape(-1)
        like = self._like(name, physical(codes.shape), "")
        self._numbers[name] = self.new(replace(like, values=flat.reshape(like.shape)))

    def emit(self, opcode: Opcode, inputs: Sequence[int], output: int, attributes: Attributes) -> None:
        """Add an operation of the current node."""
        self.program.operations.append(Operation(opcode, self._node.name, tuple(inputs), output, words(attributes)))

    def last_output(self) -> int:
        """The number of the tensor that the last operation computes."""
        return self.program.operations[-1].output

    # --- network inputs and outputs ---

    def _channels(self, name: str) -> int:
        shape = physical(self.shape(name))
        return shape[-1] if len(shape) == 4 else 1

    def _feed(self, name: str, codes: str | None) -> int:
        parts = [self._by_channel(name, values) for values in (self._inputs[name].mean, self._inputs[name].normal)]
        channels = max(map(len, parts))
        inputs = [self.stored(Kind.f32, np.resize(values, channels)) for values in parts]
        if codes is not None:
            inputs.append(self.stored(Kind.f32, self.quant_params[codes].scales))
        output = self.result(codes or name)
        self.emit(Opcode.input, inputs, output, Input(self.graph_inputs.index(name), channels))
        return output

    def _by_channel(self, name: str, values: Sequence[float]) -> NDArray[np.float32]:
        """Mean or normal as it repeats along the elements in memory: one value where all channels have the same."""
        by_channel, shape = np.asarray(values, np.float32), self.shape(name)
        if len(shape) == PICTURE_RANK:  # channels lie last
            return by_channel
        if (by_channel == by_channel[0]).all():
            return by_channel[:1]
        return np.broadcast_to(by_channel.reshape(-1, *[1] * (len(shape) - 2)), shape).reshape(-1)

    def feed_codes(self, name: str, codes: str) -> None:
        """Feed a network input as codes."""
        self._feed(name, codes)

    def is_input(self, name: str) -> bool:
        """Whether a tensor is a network input."""
        return name in self.graph_inputs

    def known(self, name: str) -> bool:
        """Whether a tensor holds codes, is fed, or was computed."""
        return name in self.quant_params or name in self.graph_inputs or name in self._numbers

    def _real(self, name: str) -> int:
        """The float values of a result."""
        if name not in self.quant_params:
            return self.operand(name)
        codes = self._numbers[name]
        output = self.new(Tensor(Kind.f32, self.program.tensors[codes].shape))
        self.enter(onnx.NodeProto(name=f"{name}/real", op_type="Dequantize"))
        self.emit(Opcode.dequantize, [codes, self.scales(name)], output, self.channels(name))
        return output

    # --- channels, axes and layouts ---

    def scales(self, codes: str) -> int:
        """The number of a constant with the scales of a tensor of codes."""
        return self.stored(Kind.f32, self.quant_params[codes].scales)

    def channels(self, codes: str) -> Scales:
        """How many scales a tensor of codes has, and how many elements of a channel are neighbours."""
        count = len(self.quant_params[codes].scales)
        return Scales(count, 1 if count == 1 else channel_run(self.shape(codes)))

    def broadcast(self, result: str, operands: Sequence[str]) -> tuple[BroadcastAxis, ...]:
        """How two operands broadcast against a result in memory; axes joined where possible."""
        return broadcast_axes(self.shape(result), [self.shape(name) for name in operands])

    def reduction(self, tensor: str, result: str, axes: Sequence[int]) -> tuple[ReductionAxis, ...]:
        """How a tensor is summed up over axes in memory."""
        return reduction_axes(self.shape(tensor), self.shape(result), axes)

    def move(self, source: int, offsets: Movement, target: int, padded: int = 0) -> None:
        """Add an operation that moves elements."""
        tables = [self.stored(Kind.i32, axis.table) for axis in offsets.axes if axis.table]
        axes = [
            MoveAxis(axis.length, 1) if axis.table else MoveAxis(axis.length, 0, axis.step) for axis in offsets.axes
        ]
        self.emit(Opcode.move, [source, *tables], target, Move(padded, offsets.base, tuple(axes)))

    def lines(self, name: str, axis: int) -> Lines:
        """A tensor as lines along one of its axes, as they lie in memory."""
        shape = self.shape(name)
        at, stored = in_memory(range(len(shape))).index(axis % len(shape)), physical(shape)
        outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (stored[:at], stored[at + 1 :]))
        return Lines(outer, stored[at], inner)

    def spread(self, name: str, shape: Sequence[int]) -> int:
        """A tensor broadcast to a shape, as that lies in memory."""
        given = self.shape(name)
        if tuple(given) == tuple(shape):
            return self.operand(name)
        sources = nhwc(np.broadcast_to(positions(given), shape))
        target = self.new(Tensor(self.kind(name), sources.shape or (1,)))
        self.move(self.operand(name), movement(sources), target)
        return target

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

    def last(self, name: str, axis: int) -> int:
        """A tensor with one of its axes innermost in memory, the others as in the network."""
        return self._view(name, f"last {axis}", np.moveaxis(positions(self.shape(name)), axis, -1))

    def from_rows(self, name: str, compute: Callable[[int], None]) -> None:
        """Declare a result that is computed with its last axis innermost."""
        self.arranged(name, positions(self.shape(name)), compute)

    def from_pixels(self, name: str, compute: Callable[[int], None]) -> None:
        """Declare a result that is computed with its channels innermost."""
        shape = self.shape(name)
        if len(shape) == 4:
            in_memory = np.arange(int(np.prod(shape))).reshape(physical(shape))
        else:
            in_memory = np.moveaxis(positions(shape), 1, -1)
        self.arranged(name, in_memory, compute)

    def arranged(self, name: str, in_memory: NDArray[np.int64], compute: Callable[[int], None]) -> None:
        """Compute a result in another order than it has in memory; `in_memory` are the positions of its elements."""
        order = in_memory.reshape(-1)
        if np.array_equal(order, np.arange(order.size)):
            compute(self.result(name))
            return
        computed = self.temporary(name, in_memory.shape)
        compute(computed)
        output = self.result(name)
        sources = np.empty(order.size, np.int64)
        sources[order] = np.arange(order.size)
        self.move(computed, movement(sources.reshape(physical(self.shape(name)))), output)

    def window(
        self, x: Sequence[int], y: Sequence[int], kernel: Sequence[int], slides: Mapping[str, Sequence[int]]
    ) -> Window:
        """A window over one axis or two.

        Args:
            x: the input's shape in the network.
            y: the output's.
            kernel: sizes along the spatial axes.
            slides: `strides`, `dilations` and `pads`; ones and zeros if left out.
        """
        rank = len(x) - 2
        if rank not in (1, 2):
            raise self.unsupported(f" with {rank} axes")
        if min(slides.get("pads", ()), default=0) < 0:
            raise self.unsupported(" with negative pads")

        def pair(values: Sequence[int], missing: int) -> list[int]:
            return [missing] * (2 - rank) + list(values)[:rank]

        ones, zeros = [1] * rank, [0] * rank
        sizes = [x[0], *pair(x[2:], 1), x[1], *pair(y[2:], 1)]
        slide = [*pair(kernel, 1), *pair(slides.get("strides", ones), 1), *pair(slides.get("dilations", ones), 1)]
        return Window(*sizes, *slide, *pair(slides.get("pads", zeros), 0))
