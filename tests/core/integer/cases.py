"""Hypothesis strategies for integer models."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.core.integer.quant_params import QuantParams
from tests.core.integer import reference
from tests.core.integer.nets import Net

RULES = ("nna", "multiplier_shift", "float")
LIMIT = 2**31 - 1

seeds = st.integers(0, 2**32 - 1)
feature_bits = st.sampled_from([4, 5, 8, 8, 10, 12, 16])
weight_bits = st.sampled_from([2, 4, 8, 8, 12, 16])


@st.composite
def quant_params(draw, bits=feature_bits) -> QuantParams:
    """Any zero point, often at an end."""
    width = draw(bits)
    qmax = 2**width - 1
    zero_point = draw(st.sampled_from([0, qmax, 2 ** (width - 1)]) | st.integers(0, qmax))
    return QuantParams(width, draw(scales), zero_point)


scales = st.floats(-12, 4).map(lambda power: float(np.float32(2.0**power)))


@st.composite
def channel_quant_params(draw, channels: int) -> QuantParams:
    """Any zero point, and any scale in each channel."""
    qparams = draw(quant_params())
    actual = tuple(draw(st.lists(scales, min_size=channels, max_size=channels)))
    return QuantParams(qparams.bits, max(actual), qparams.zero_point, actual)


@st.composite
def clamps(draw, y_params: QuantParams) -> dict[str, int]:
    """What a fused activation lets through; mostly everything."""
    if draw(st.booleans()):
        return {}
    low = draw(st.sampled_from([0, y_params.zero_point]) | st.integers(0, y_params.qmax))
    return {"low": low, "high": draw(st.integers(low, y_params.qmax))}


@dataclass
class Weighted:
    """A weighted operator without its rule: a net that holds its input `x`, and how to sum up in another way."""

    kind: str
    shape: list[int]
    x_params: QuantParams
    weight: NDArray[np.int64]
    window: dict[str, object]
    accumulate: reference.Accumulate
    channel_axis: int
    channels: int

    def sums(self, codes: NDArray) -> NDArray[np.int64]:
        return reference.sums(self.accumulate, codes.astype(np.int64) - self.x_params.zero_point)

    def net(self, parameters: list[NDArray], rule: str, y_params: QuantParams | None, clamp: dict[str, int]) -> Net:
        net = Net()
        net.feature("x", self.shape, self.x_params)
        weight = self.weight.astype(np.int8 if np.abs(self.weight).max() < 128 else np.int16)
        net.add(self.kind, ["x", weight, *parameters], y_params, rule=rule, **self.window, **clamp)
        return net


def _weights(draw, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Signed codes of any width: noise, mostly of one sign, or all at an end."""
    bits = draw(weight_bits)
    rng = np.random.default_rng(draw(seeds))
    low, high = draw(st.sampled_from([(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), (1, 2 ** (bits - 1) - 1), (-1, 1)]))
    weight = rng.integers(low, max(high, low), shape, endpoint=True)
    if draw(st.integers(0, 4)) == 0:
        weight = np.where(weight > 0, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)))
    return weight


def _spans(draw, rank: int, low: int, high: int) -> list[int]:
    return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))


@st.composite
def convolutions(draw) -> Weighted:
    """Dense, grouped or depthwise; strided, dilated, padded unevenly; one axis or two."""
    rank = draw(st.sampled_from([1, 2, 2]))
    group = draw(st.integers(1, 3))
    inside, outside = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2), (5, 1)]))
    kernel = _spans(draw, rank, 1, 4)
    strides, dilations, pads = (_spans(draw, *how) for how in ((rank, 1, 3), (rank, 1, 2), (2 * rank, 0, 2)))
    spans = [dilations[i] * (kernel[i] - 1) + 1 for i in range(rank)]
    pads = [min(pad, spans[i % rank] - 1) for i, pad in enumerate(pads)]
    least = [max(spans[i] - pads[i] - pads[rank + i], 1) for i in range(rank)]
    size = [least[i] + extra for i, extra in enumerate(_spans(draw, rank, 0, 3))]
    weight = _weights(draw, (group * outside, inside, *kernel))
    window = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    shape = [draw(st.integers(1, 2)), group * inside, *size]
    run = reference.convolution(weight, strides, dilations, pads, group)
    return Weighted("Conv", shape, draw(quant_params()), weight, window, run, 1, len(weight))


@st.composite
def transposed_convolutions(draw) -> Weighted:
    rank = draw(st.sampled_from([1, 2, 2]))
    group = draw(st.integers(1, 3))
    inside, outside = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2)]))
    kernel, strides, dilations = (_spans(draw, rank, low, high) for low, high in ((1, 4), (1, 3), (1, 2)))
    size = _spans(draw, rank, 1, 4)
    extra = [draw(st.integers(0, strides[i] - 1)) for i in range(rank)]
    pads = _spans(draw, 2 * rank, 0, 2)
    for i in range(rank):
        length = strides[i] * (size[i] - 1) + dilations[i] * (kernel[i] - 1) + 1
        pads[i] = min(pads[i], kernel[i] - 1, length - 1)
        pads[rank + i] = min(pads[rank + i], kernel[i] - 1, length - 1 - pads[i])
    weight = _weights(draw, (group * inside, outside, *kernel))
    window = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": extra, "group": group}
    shape = [draw(st.integers(1, 2)), group * inside, *size]
    run = reference.transposed_convolution(weight, strides, dilations, pads, extra, group)
    return Weighted("ConvTranspose", shape, draw(quant_params()), weight, window, run, 1, group * outside)


@st.composite
def matrix_products(draw) -> Weighted:
    inside, outside = draw(st.integers(1, 20)), draw(st.integers(1, 6))
    weight = _weights(draw, (inside, outside))
    shape = [*draw(st.sampled_from([[1], [3], [2, 3], [1, 2, 2]])), inside]
    return Weighted("MatMul", shape, draw(quant_params()), weight, {}, reference.product(weight), -1, outside)


weighted = st.one_of(convolutions(), transposed_convolutions(), matrix_products())


@st.composite
def inputs(draw, layer: Weighted) -> NDArray[np.int64]:
    """Input codes: noise, all at an end, or those that make one sum as large or small as it can be."""
    qmax, zero_point = layer.x_params.qmax, layer.x_params.zero_point
    how = draw(st.sampled_from(["noise", "least", "most", "largest", "smallest", "largest", "smallest"]))
    if how in ("least", "most"):
        return np.full(layer.shape, 0 if how == "least" else qmax)
    if how == "noise":
        return np.random.default_rng(draw(seeds)).integers(0, qmax, layer.shape, endpoint=True)
    places = layer.sums(np.zeros(layer.shape)).size
    sign = 1 if how == "largest" else -1
    place = draw(st.integers(0, places - 1))
    return reference.extreme_codes(layer.accumulate, layer.shape, qmax, place, sign, zero_point)


@st.composite
def parameters(
    draw, rule: str, acc: NDArray, channel_axis: int, channels: int, y_params: QuantParams | None
) -> list[NDArray]:
    """Bias and effective scales by which outputs use all codes; some sums lie on a rounding boundary or one below."""
    rng = np.random.default_rng(draw(seeds))
    reach = max(int(np.abs(acc).max()), 1)
    seen = np.moveaxis(acc, channel_axis, 0).reshape(channels, -1)
    chosen = seen[np.arange(channels), rng.integers(0, seen.shape[1], channels)]
    below = rng.integers(0, 2, channels)  # 0: on the boundary, 1: one below
    if rule == "float":
        bias = rng.integers(-reach, reach, channels, endpoint=True) if draw(st.booleans()) else below - chosen
        return [_int32(bias), (2.0 ** rng.uniform(-20, 2, channels)).astype(np.float32)]
    assert y_params is not None
    fill = 2.0 ** rng.uniform(-3, 3, channels)
    steps = rng.integers(-1, y_params.qmax + 2, channels)
    if rule == "nna":
        mult = np.clip(np.rint(4 * reach * fill / 2**y_params.bits), 1, 2**16 - 1).astype(np.int64)
        bias = (steps - 2 ** (y_params.bits - 1)) * mult - 4 * chosen - below
    else:
        exponents = np.clip(np.round(np.log2(2**y_params.bits / (reach * fill))), -30, 8).astype(np.int64)
        if draw(st.booleans()):  # 2**14 / 2**shift, or 1 / 2**shift as shift-only SOCs have it
            extra = draw(st.sampled_from([14, 0]))
            shift = np.clip(extra - exponents, 1, 46)
            multiplier = np.full(channels, 2**extra)
        else:
            shift = np.clip(14 - exponents, 1, 46)
            multiplier = rng.integers(2**14, 2**15, channels, endpoint=True)
        code = (steps - y_params.zero_point).astype(object)
        half = np.array([2 ** int(s) // 2 for s in shift], dtype=object)
        wanted = (code * 2 * half - half + multiplier - 1) // multiplier  # the least sum that rounds to the code
        bias = wanted - chosen - below
    if draw(st.integers(0, 9)) == 0:
        bias = np.where(below, LIMIT, -LIMIT)
    if rule == "nna":
        return [_int32(bias), mult.astype(np.int32)]
    return [_int32(bias), multiplier.astype(np.int32), shift.astype(np.int32)]


def _int32(values: NDArray) -> NDArray[np.int32]:
    return np.clip(values, -LIMIT, LIMIT).astype(np.int64).astype(np.int32)


def fixed(effective_scales: list[float]) -> tuple[list[int], int]:
    """Multipliers of 14 bits and the shift that they share."""
    shift = min(max(13 - math.floor(math.log2(max(map(abs, effective_scales)))), 1), 46)
    return [round(effective_scale * 2**shift) for effective_scale in effective_scales], shift


@st.composite
def effective_scales(draw, count: int = 1, negative: bool = False) -> tuple[list[int], int]:
    """Multipliers and shift of a fixed-point operator; every other time powers of two, whose sums meet boundaries."""
    power = st.floats(-7, 2) if draw(st.booleans()) else st.integers(-7, 2)
    actual = [2.0 ** draw(power) for _ in range(count)]
    signs = [draw(st.sampled_from([1, -1])) if negative else 1 for _ in actual]
    return fixed([sign * effective_scale for sign, effective_scale in zip(signs, actual, strict=True)])
