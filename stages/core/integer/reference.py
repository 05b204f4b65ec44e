"""The NumPy reference: every integer operator written down plainly. Slow; what the fast simulator is tested against."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import attribute, captured_names
from stages.core.graph.session import Runner
from stages.core.integer import rules
from stages.core.integer.model import DOMAIN, QuantParams, tensor_quant_params

__all__ = ["run_node", "run_reference"]

Array = NDArray[Any]
Integers = NDArray[np.int64]


def run_reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run an integer model.

    Args:
        model: the integer model.
        feeds: float32 network inputs.

    Returns:
        Every tensor by name: codes as uint8 or uint16, the rest as float32.
    """
    quant_params = tensor_quant_params(model.graph.node)
    values: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    values |= feeds
    opset = model.opset_import
    for node in model.graph.node:
        inputs = [values[name] if name else None for name in node.input]
        captured = {name: values[name] for name in captured_names(node) if name in values}
        results = run_node(node, inputs, quant_params, list(opset), captured)
        values.update(zip(node.output, results, strict=True))
    return values


def run_node(
    node: onnx.NodeProto,
    inputs: list[Array | None],
    quant_params: Mapping[str, QuantParams],
    opset: list[onnx.OperatorSetIdProto],
    captured: Mapping[str, Array] | None = None,
) -> list[Array]:
    """Run one node.

    Args:
        node: of an integer model.
        inputs: its input values, None for one that is left out.
        quant_params: tensor -> what its codes mean (see `tensor_quant_params`).
        opset: the model's operator sets.
        captured: what the bodies of an If or Loop take from outside.

    Returns:
        Its outputs.
    """
    if node.domain == DOMAIN:
        return [_OPERATORS[node.op_type](_Call(node, inputs, quant_params))]
    if node.input and node.input[0] in quant_params:
        return _move_codes(node, inputs, quant_params[node.input[0]], opset)
    return _run_alone(node, inputs, opset, captured or {})


class _Call:
    """One node with its inputs: codes minus their zero point (code - zero_point) and attributes at hand."""

    def __init__(
        self, node: onnx.NodeProto, inputs: list[Array | None], quant_params: Mapping[str, QuantParams]
    ) -> None:
        self._node, self._inputs, self._quant_params = node, inputs, quant_params
        self.out = quant_params.get(node.output[0], QuantParams(0, 1.0, 0))
        self.count = len(inputs)

    def get(self, name: str, default: Any = None) -> Any:
        return attribute(self._node, name, default)

    def raw(self, index: int) -> Array:
        value = self._inputs[index]
        assert value is not None
        return value

    def integers(self, index: int) -> Integers:
        return self.raw(index).astype(np.int64)

    def minus_zp(self, index: int) -> Integers:
        return self.integers(index) - self._quant_params[self._node.input[index]].zero_point

    def broadcast_scale(self, index: int) -> NDArray[np.float32]:
        return self._quant_params[self._node.input[index]].broadcast_scale(self.raw(index).ndim)

    def all_minus_zp(self) -> list[Integers]:
        return [self.minus_zp(index) for index in range(len(self._inputs))]

    def codes(self, values: Integers) -> Array:
        """Clamp codes as a fused activation does, and store them."""
        return np.clip(values, self.get("low"), self.get("high")).astype(self.out.dtype)

    def scaled(self, acc: Integers) -> Array:
        """Codes of an accumulator that carries its multipliers already."""
        return self.codes(rules.scale_sum(acc, self.get("shift")) + self.out.zero_point)


def _quantize(call: _Call) -> Array:
    x = call.raw(0)
    scaled = np.rint(x / call.out.broadcast_scale(x.ndim)).astype(np.float64)
    return np.clip(scaled + call.out.zero_point, 0, call.out.qmax).astype(call.out.dtype)


def _dequantize(call: _Call) -> Array:
    return call.minus_zp(0).astype(np.float32) * call.broadcast_scale(0)


def _constant(call: _Call) -> Array:
    return call.raw(0)


def _conv(call: _Call) -> Array:
    strides, dilations = call.get("strides"), call.get("dilations")
    acc = _convolve(call.minus_zp(0), call.integers(1), strides, dilations, call.get("pads"), call.get("group"))
    return _requantize(call, acc, channel_axis=1)


def _conv_transpose(call: _Call) -> Array:
    acc = _convolve_transposed(
        call.minus_zp(0), call.integers(1), call.get("strides"), call.get("dilations"), call.get("pads"),
        call.get("output_padding"), call.get("group"),
    )  # fmt: skip
    return _requantize(call, acc, channel_axis=1)


def _mat_mul(call: _Call) -> Array:
    return _requantize(call, call.minus_zp(0) @ call.integers(1), channel_axis=-1)


def _requantize(call: _Call, acc: Integers, channel_axis: int) -> Array:
    """Accumulator -> output of a weighted operator, by the SOC's rule."""
    shape = [1] * acc.ndim
    shape[channel_axis] = -1
    bias, *parameters = (call.raw(index).reshape(shape) for index in range(2, call.count))
    rule = call.get("rule").decode()
    if rule == "float":
        return (acc + bias.astype(np.int64)).astype(np.float32) * parameters[0]
    if rule == "nna":
        return call.codes(rules.nna(acc, bias.astype(np.int64), parameters[0].astype(np.int64), call.out.bits))
    multiplier, shift = (parameter.astype(np.int64) for parameter in parameters)
    codes = rules.multiplier_shift(acc + bias, multiplier, shift, call.out.zero_point, call.out.bits)
    return call.codes(codes)


def _convolve(x: Array, w: Array, strides: list[int], dilations: list[int], pads: list[int], group: int) -> Integers:
    """[N, C, *S] * [M, C/group, *K] -> [N, M, *O]; the padding is 0."""
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    kernel = w.shape[2:]
    size = [(x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    x = x.reshape(x.shape[0], group, -1, *x.shape[2:])
    taps = w.reshape(group, -1, w.shape[1], np.prod(kernel, dtype=int))
    acc = np.zeros((x.shape[0], group, taps.shape[1], *size), dtype=np.int64)
    for index, at in enumerate(itertools.product(*map(range, kernel))):
        acc += np.einsum("ngc...,gmc->ngm...", x[_window(at, strides, dilations, size)], taps[..., index])
    return acc.reshape(acc.shape[0], -1, *size)


def _convolve_transposed(
    x: Array, w: Array, strides: list[int], dilations: list[int], pads: list[int], extra: list[int], group: int
) -> Integers:
    """[N, C, *S] * [C, M/group, *K] -> [N, M, *O]: each input adds its kernel into the output."""
    rank = x.ndim - 2
    kernel = w.shape[2:]
    x = x.reshape(x.shape[0], group, -1, *x.shape[2:])
    taps = w.reshape(group, -1, w.shape[1], np.prod(kernel, dtype=int))
    full = [strides[i] * (x.shape[3 + i] - 1) + dilations[i] * (kernel[i] - 1) + 1 + extra[i] for i in range(rank)]
    acc = np.zeros((x.shape[0], group, taps.shape[2], *full), dtype=np.int64)
    for index, at in enumerate(itertools.product(*map(range, kernel))):
        acc[_window(at, strides, dilations, x.shape[3:])] += np.einsum("ngc...,gcm->ngm...", x, taps[..., index])
    kept = tuple(slice(pads[i], full[i] - pads[rank + i]) for i in range(rank))
    acc = acc[(slice(None),) * 3 + kept]
    return acc.reshape(acc.shape[0], -1, *acc.shape[3:])


def _window(
    at: Sequence[int], strides: Sequence[int], dilations: Sequence[int], size: Sequence[int]
) -> tuple[slice, ...]:
    """What one kernel position meets, in [N, group, C, *S]: `size` places, one stride apart."""
    starts = [offset * dilation for offset, dilation in zip(at, dilations, strict=True)]
    spans = zip(starts, strides, size, strict=True)
    return (slice(None),) * 3 + tuple(slice(start, start + step * (n - 1) + 1, step) for start, step, n in spans)


def _add(call: _Call) -> Array:
    left, right = (c * m for c, m in zip(call.all_minus_zp(), call.get("multipliers"), strict=True))
    return call.scaled(left + right)


def _mul(call: _Call) -> Array:
    left, right = call.all_minus_zp()
    return call.scaled(left * right * call.get("multipliers")[0])


def _mat_mul_features(call: _Call) -> Array:
    left, right = call.all_minus_zp()
    return call.scaled((left @ right) * call.get("multipliers")[0])


def _rescaled(call: _Call) -> list[Array]:
    """Every operand's codes in the output's scale."""
    return [call.scaled(c * m) for c, m in zip(call.all_minus_zp(), call.get("multipliers"), strict=True)]


def _concat(call: _Call) -> Array:
    return np.concatenate(_rescaled(call), axis=call.get("axis"))


def _max(call: _Call) -> Array:
    largest: Array = np.max(np.broadcast_arrays(*_rescaled(call)), axis=0)
    return largest


def _min(call: _Call) -> Array:
    smallest: Array = np.min(np.broadcast_arrays(*_rescaled(call)), axis=0)
    return smallest


def _mean(call: _Call) -> Array:
    total = call.minus_zp(0).sum(axis=tuple(call.get("axes")), keepdims=bool(call.get("keepdims")))
    return call.scaled(total * call.get("multipliers")[0])


def _average_pool(call: _Call) -> Array:
    x = call.minus_zp(0)
    ones = np.ones((x.shape[1], 1, *call.get("kernel_shape")), dtype=np.int64)
    total = _convolve(x, ones, call.get("strides"), call.get("dilations"), call.get("pads"), x.shape[1])
    return call.scaled(total * call.integers(1))


def _table(call: _Call) -> Array:
    x, table = call.raw(0), call.integers(1)
    if table.ndim == 1:
        return call.codes(table[x])
    channels = np.arange(len(table)).reshape(-1, *[1] * (x.ndim - 2))
    return call.codes(table[channels, x])


def _prelu(call: _Call) -> Array:
    x = call.minus_zp(0)
    return call.scaled(np.where(x >= 0, x * call.get("multipliers")[0], x * call.integers(1)))


def _resize(call: _Call) -> Array:
    return call.scaled(call.integers(1) @ call.minus_zp(0) @ call.integers(2).T)


_OPERATORS: dict[str, Callable[[_Call], Array]] = {
    "Quantize": _quantize,
    "Dequantize": _dequantize,
    "Constant": _constant,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _mat_mul,
    "MatMulFeatures": _mat_mul_features,
    "Add": _add,
    "Mul": _mul,
    "Concat": _concat,
    "Max": _max,
    "Min": _min,
    "Mean": _mean,
    "AveragePool": _average_pool,
    "Table": _table,
    "PRelu": _prelu,
    "Resize": _resize,
}


def _move_codes(
    node: onnx.NodeProto, inputs: list[Array | None], codes: QuantParams, opset: list[onnx.OperatorSetIdProto]
) -> list[Array]:
    """An operator that only moves or picks codes: ONNX Runtime does it in float32, which holds every code exactly."""
    floats = [
        value.astype(np.float32) if value is not None and value.dtype == codes.dtype else value for value in inputs
    ]
    return [y.astype(codes.dtype) for y in _run_alone(node, floats, opset, {})]


def _run_alone(
    node: onnx.NodeProto,
    inputs: list[Array | None],
    opset: list[onnx.OperatorSetIdProto],
    captured: Mapping[str, Array],
) -> list[Array]:
    """Run a single ONNX node in ONNX Runtime."""
    given = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
    graph = helper.make_graph(
        [node],
        "node",
        [],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (given | dict(captured)).items()],
    )
    alone = helper.make_model(graph, opset_imports=opset, ir_version=10)
    return list(Runner(alone, optimize="none").run({}).values())
