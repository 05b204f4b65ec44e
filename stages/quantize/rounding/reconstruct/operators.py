"""A subgraph of a network in PyTorch: ONNX operators on batches of any size."""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.core.graph.onnx_graph import attribute
from stages.quantize.rounding.reconstruct.convolution import conv2d

__all__ = ["OPERATORS", "Values", "run_node"]

Values = dict[str, Tensor]
Constants = Mapping[str, NDArray[Any]]


def run_node(
    node: onnx.NodeProto, values: Values, constants: Constants, weight: tuple[Tensor, Tensor | None] | None
) -> None:
    """Compute a node's outputs into `values`.

    Args:
        node: the node.
        values: what was computed so far; 4-dimensional tensors lie channels last.
        constants: the network's.
        weight: of a weighted node: the weight to take, in ONNX's layout, and the bias; None for the node's own.

    Raises:
        NotImplementedError: for an operator, or a form of it, that is not covered. Some forms that need more than one
            picture at a time are not noticed here: they give another shape or other values than ONNX Runtime, or one
            of PyTorch's errors.
    """
    if node.op_type not in OPERATORS:
        raise NotImplementedError(f"{node.op_type} is not covered")
    made = OPERATORS[node.op_type](_Call(node, values, constants, weight))
    for name, value in zip(node.output, made if isinstance(made, list) else [made], strict=False):
        values[name] = value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value.contiguous()


class _Call:
    """What an operator sees: its inputs as tensors, its attributes."""

    def __init__(
        self, node: onnx.NodeProto, values: Values, constants: Constants, weight: tuple[Tensor, Tensor | None] | None
    ) -> None:
        self.node, self._values, self._constants, self._weight = node, values, constants, weight

    @property
    def weight(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias: those that were handed in, else the node's own."""
        return self._weight or (self[1], self[2] if len(self) > 2 and self.node.input[2] else None)

    @property
    def learned(self) -> bool:
        """Whether a weight was handed in."""
        return self._weight is not None

    def __getitem__(self, index: int) -> Tensor:
        name = self.node.input[index]
        if name in self._values:
            return self._values[name]
        if name not in self._constants:
            raise NotImplementedError(f"{self.node.op_type} takes {name!r}, which is not made here")
        return torch.from_numpy(np.array(self._constants[name]))

    def batched(self, index: int) -> Tensor:
        """An input, repeated over the batch if it is constant."""
        if self.node.input[index] in self._values:
            return self[index]
        count = max(len(self._values[name]) for name in self.node.input if name in self._values)
        return self[index].expand([count, *self[index].shape[1:]])

    def __len__(self) -> int:
        return len(self.node.input)

    def get(self, name: str, default: Any = None) -> Any:
        return attribute(self.node, name, default)

    def numbers(self, index: int, name: str | None = None) -> list[Any] | None:
        """A constant input, or an attribute, as a list; None if left out."""
        if name is not None and (given := self.get(name)) is not None:
            return list(np.atleast_1d(given).tolist())
        if index >= len(self.node.input) or not self.node.input[index]:
            return None
        if self.node.input[index] not in self._constants:
            raise NotImplementedError(f"{self.node.op_type} is not covered with settings that are computed")
        return list(np.atleast_1d(self._constants[self.node.input[index]]).tolist())


def _window(call: _Call, rank: int) -> tuple[list[int], list[int], list[int], Callable[[Tensor, float], Tensor]]:
    """Strides, dilations, symmetric pads, and a function that pads by what is not symmetric."""
    if call.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotImplementedError(f"{call.node.op_type} is not covered with auto_pad")
    pads = list(call.get("pads", [0] * 2 * rank))
    before, after = pads[:rank], pads[rank:]
    strides, dilations = list(call.get("strides", [1] * rank)), list(call.get("dilations", [1] * rank))
    if before == after:
        return strides, dilations, before, lambda x, _: x
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    return strides, dilations, [0] * rank, lambda x, value: functional.pad(x, sides, value=value)


def _conv(call: _Call) -> Tensor:
    weight, bias = call.weight
    rank = weight.ndim - 2
    strides, dilations, pads, padded = _window(call, rank)
    groups = call.get("group", 1)
    if rank == 2:
        return conv2d(padded(call[0], 0.0), weight, bias, strides, pads, dilations, groups)
    conv = {1: functional.conv1d, 3: functional.conv3d}[rank]
    return conv(padded(call[0], 0.0), weight, bias, strides, pads, dilations, groups)


def _conv_transpose(call: _Call) -> Tensor:
    weight, bias = call.weight
    rank = weight.ndim - 2
    strides, dilations, pads, _ = _window(call, rank)
    if list(call.get("pads", [0] * 2 * rank)) != pads * 2:
        raise NotImplementedError("ConvTranspose is not covered with pads that are not symmetric")
    conv = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}[rank]
    extra = list(call.get("output_padding", [0] * rank))
    return conv(call[0], weight, bias, strides, pads, extra, call.get("group", 1), dilations)


def _gemm(call: _Call) -> Tensor:
    weight, bias = call.weight
    if call.get("transA", 0) or call.get("alpha", 1.0) != 1.0 or call.get("beta", 1.0) != 1.0:
        raise NotImplementedError("Gemm is not covered where it transposes its input or scales its result")
    made = call[0] @ (weight.T if call.get("transB", 0) else weight)
    return made if bias is None else made + bias


def _mat_mul(call: _Call) -> Tensor:
    return call[0] @ (call.weight[0] if call.learned else call[1])


def _pool(maximum: bool) -> Callable[[_Call], Tensor]:
    def run(call: _Call) -> Tensor:
        kernel = list(call.get("kernel_shape"))
        rank = len(kernel)
        strides, dilations, pads, padded = _window(call, rank)
        if rank != 2 or call.get("ceil_mode", 0):
            raise _not_so(call)
        if maximum:
            return functional.max_pool2d(padded(call[0], -float("inf")), kernel, strides, pads, dilations)
        if padded(call[0][:1, :1], 0.0).shape[2:] != call[0].shape[2:] or dilations != [1] * rank:
            raise _not_so(call)
        counted = bool(call.get("count_include_pad", 0))
        return functional.avg_pool2d(call[0], kernel, strides, pads, count_include_pad=counted)

    return run


def _clip(call: _Call) -> Tensor:
    low, high = (call.numbers(1, "min") or [None])[0], (call.numbers(2, "max") or [None])[0]
    return call[0] if low is None and high is None else call[0].clamp(low, high)


def _reshape(call: _Call) -> Tensor:
    value, sizes = call[0], call.numbers(1, "shape") or []
    given = [value.shape[i] if size == 0 else int(size) for i, size in enumerate(sizes)]
    if not given or (given[0] not in (1, value.shape[0]) and (given[0] != -1 or -1 in given[1:])):
        raise _not_so(call)
    return value.reshape([value.shape[0], *given[1:]])


def _flatten(call: _Call) -> Tensor:
    if call.get("axis", 1) != 1:
        raise _not_so(call)
    return call[0].reshape(call[0].shape[0], -1)


def _slice(call: _Call) -> Tensor:
    value = call[0]
    starts, ends = call.numbers(1, "starts") or [], call.numbers(2, "ends") or []
    axes = call.numbers(3, "axes") or list(range(len(starts)))
    steps = call.numbers(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where = np.arange(value.shape[axis])[slice(start, end if end >= -value.shape[axis] else None, step)]
        value = value.index_select(axis, torch.from_numpy(where.copy()))
    return value


def _split(call: _Call) -> list[Tensor]:
    axis, sizes = call.get("axis", 0), call.numbers(1, "split")
    count = len(call.node.output)
    return list(torch.split(call[0], sizes or -(-call[0].shape[axis] // count), axis))


def _squeeze(call: _Call) -> Tensor:
    axes = call.numbers(1, "axes")
    if axes is None:
        raise NotImplementedError("Squeeze is not covered without axes")
    return call[0].squeeze(tuple(axes))


def _unsqueeze(call: _Call) -> Tensor:
    value, axes = call[0], call.numbers(1, "axes") or []
    for axis in sorted(axis % (value.ndim + len(axes)) for axis in axes):
        value = value.unsqueeze(axis)
    return value


def _reduce_mean(call: _Call) -> Tensor:
    axes = call.numbers(1, "axes")
    if not axes or any(axis % call[0].ndim == 0 for axis in axes):
        raise _not_so(call)
    return call[0].mean(axes, keepdim=bool(call.get("keepdims", 1)))


def _resize(call: _Call) -> Tensor:
    value, mode = call[0], call.get("mode", b"nearest")
    way = call.get("coordinate_transformation_mode", b"half_pixel")
    scales, sizes = call.numbers(2), call.numbers(3)
    if value.ndim != 4 or call.get("axes") is not None or call.get("antialias", 0):
        raise _not_so(call)
    size = (
        [int(s) for s in sizes[2:]]
        if sizes
        else [int(n * s) for n, s in zip(value.shape[2:], (scales or [])[2:], strict=True)]
    )
    if mode == b"nearest" and all(after % before == 0 for before, after in zip(value.shape[2:], size, strict=True)):
        return functional.interpolate(value, size=size, mode="nearest")
    if mode == b"linear" and way in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
        return functional.interpolate(value, size=size, mode="bilinear", align_corners=way == b"align_corners")
    raise _not_so(call)


def _pad(call: _Call) -> Tensor:
    pads = call.numbers(1, "pads") or []
    if call.get("mode", b"constant") != b"constant" or len(call) > 3:
        raise _not_so(call)
    rank = len(pads) // 2
    sides = [int(side) for i in reversed(range(rank)) for side in (pads[i], pads[rank + i])]
    return functional.pad(call[0], sides, value=float((call.numbers(2, "value") or [0.0])[0]))


def _depth_to_space(call: _Call) -> Tensor:
    value, size = call[0], call.get("blocksize")
    if call.get("mode", b"DCR") == b"DCR":  # blocks come first among the channels
        value = value.unflatten(1, (size * size, -1)).transpose(1, 2).flatten(1, 2)
    return functional.pixel_shuffle(value, size)


def _space_to_depth(call: _Call) -> Tensor:
    size = call.get("blocksize")
    value = functional.pixel_unshuffle(call[0], size)
    return value.unflatten(1, (-1, size * size)).transpose(1, 2).flatten(1, 2)


def _hard_sigmoid(call: _Call) -> Tensor:
    return (call[0] * call.get("alpha", 0.2) + call.get("beta", 0.5)).clamp(0.0, 1.0)


def _not_so(call: _Call) -> NotImplementedError:
    return NotImplementedError(f"{call.node.op_type} is not covered in this form")


OPERATORS: dict[str, Callable[[_Call], Tensor | list[Tensor]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "Add": lambda call: call[0] + call[1],
    "Sub": lambda call: call[0] - call[1],
    "Mul": lambda call: call[0] * call[1],
    "Div": lambda call: call[0] / call[1],
    "Max": lambda call: reduce(torch.maximum, [call[i] for i in range(len(call))]),
    "Min": lambda call: reduce(torch.minimum, [call[i] for i in range(len(call))]),
    "Concat": lambda call: torch.cat([call.batched(i) for i in range(len(call))], call.get("axis")),
    "Relu": lambda call: call[0].relu(),
    "Clip": _clip,
    "PRelu": lambda call: torch.where(call[0] < 0, call[0] * call[1], call[0]),
    "LeakyRelu": lambda call: functional.leaky_relu(call[0], call.get("alpha", 0.01)),
    "Sigmoid": lambda call: call[0].sigmoid(),
    "Tanh": lambda call: call[0].tanh(),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda call: functional.hardswish(call[0]),
    "Softmax": lambda call: call[0].softmax(call.get("axis", -1)),
    "MaxPool": _pool(maximum=True),
    "AveragePool": _pool(maximum=False),
    "GlobalAveragePool": lambda call: call[0].mean(list(range(2, call[0].ndim)), keepdim=True),
    "GlobalMaxPool": lambda call: call[0].amax(list(range(2, call[0].ndim)), keepdim=True),
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda call: call[0].permute(call.get("perm")),
    "Identity": lambda call: call[0],
    "Slice": _slice,
    "Split": _split,
    "Resize": _resize,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
"""ONNX type -> function of a call; all of them leave the batch axis alone."""
