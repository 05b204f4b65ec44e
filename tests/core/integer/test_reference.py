from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.integer.quant_params import QuantParams
from stages.core.integer.reference import run_reference
from tests.core.integer import reference
from tests.core.integer.cases import RULES, clamps, effective_scales, inputs, parameters, quant_params, seeds, weighted
from tests.core.integer.nets import Net
from tests.examples import examples

EXAMPLES = examples(40)
PLAIN = QuantParams(8, 1.0, 0)
SHIFTED = QuantParams(8, 1.0, 100)


def int32(*values):
    return np.array(values, dtype=np.int32)


def random_codes(seed, shape, qparams):
    return np.random.default_rng(seed).integers(0, qparams.qmax, shape, endpoint=True)


def minus_zp(codes, qparams):
    return codes.astype(np.int64) - qparams.zero_point


def scaled(y_params, clamp, shift, numerator):
    """A fixed-point operator's code, in Python integers."""
    low, high = clamp.get("low", 0), clamp.get("high", y_params.qmax)
    return reference.clamp(reference.halves_up(int(numerator), shift) + y_params.zero_point, low, high)


# --- weighted operators ---


@EXAMPLES
@given(weighted, st.sampled_from(RULES), st.data())
def test_weighted_operators_are_torchs_sums_under_the_rule(layer, rule, data):
    y_params = None if rule == "float" else data.draw(quant_params())
    codes = data.draw(inputs(layer))
    acc = layer.sums(codes)
    values = data.draw(parameters(rule, acc, layer.channel_axis, layer.channels, y_params))
    clamp = data.draw(clamps(y_params)) if y_params else {}
    actual = layer.net(values, rule, y_params, clamp).reference(x=codes)["y"]
    bias = values[0].astype(np.int64)
    if rule == "float":
        sums = np.moveaxis(acc, layer.channel_axis, -1) + bias
        expected = np.moveaxis(sums.astype(np.float32) * values[1], -1, layer.channel_axis)
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, expected)
        return
    apply = reference.nna if rule == "nna" else reference.multiplier_shift
    more = [np.array([y_params.zero_point])] if rule == "multiplier_shift" else []
    expected = reference.per_channel(apply, acc, layer.channel_axis, *values, *more, np.array([y_params.bits]))
    np.testing.assert_array_equal(actual, np.clip(expected, clamp.get("low", 0), clamp.get("high", y_params.qmax)))


def test_a_convolution_gives_the_four_bit_codes_of_the_manual():
    """acc -11, -10, 0, 20, 55 -> 0, 1, 2, 4, 7, through a 1x1 convolution with weight -1 and codes counted from 60."""
    net, x_params, y_params = Net(), QuantParams(8, 0.5, 60), QuantParams(4, 0.25, 9)
    net.feature("x", [1, 1, 1, 5], x_params)
    net.add("Conv", ["x", np.full((1, 1, 1, 1), -1, np.int8), int32(-238), int32(40)], y_params, rule="nna",
            strides=[1, 1], dilations=[1, 1], pads=[0, 0, 0, 0], group=1)  # fmt: skip
    actual = net.reference(x=[71, 70, 60, 40, 5])["y"]
    assert actual.dtype == np.uint8
    assert actual.ravel().tolist() == [0, 1, 2, 4, 7]


def convolved(x, x_params, weight, bias=0, **window):
    """The sums of a convolution, codes of 16 bits around 1000."""
    net = Net()
    net.feature("x", np.shape(x), x_params)
    rank = weight.ndim - 2
    window = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank, "group": 1} | window
    kind = "ConvTranspose" if "output_padding" in window else "Conv"
    channels = weight.shape[1] * window["group"] if kind == "ConvTranspose" else len(weight)
    values = [int32(*[bias] * channels), int32(*[2] * channels), int32(*[1] * channels)]
    net.add(kind, ["x", weight.astype(np.int8), *values], QuantParams(16, 1.0, 1000), rule="multiplier_shift", **window)
    return (net.reference(x=x)["y"].astype(int) - 1000).tolist()


def test_a_padded_convolution_pads_with_the_zero_point():
    """Codes 3, 5, 9 stand for 1, 3, 7; the padding for 0."""
    x, weight = [[[3, 5, 9]]], np.array([[[1, -2, 10]]])
    assert convolved(x, QuantParams(8, 1.0, 2), weight, pads=[1, 1]) == [[[-2 + 30, 1 - 6 + 70, 3 - 14]]]


def test_strides_and_dilations_of_a_convolution_by_hand():
    x, weight = [[[1, 2, 3, 4, 5, 6]]], np.array([[[1, 10]]])
    assert convolved(x, PLAIN, weight, strides=[2]) == [[[21, 43, 65]]]
    assert convolved(x, PLAIN, weight, dilations=[3]) == [[[41, 52, 63]]]
    assert convolved(x, PLAIN, weight, strides=[2], pads=[1, 0], bias=100) == [[[110, 132, 154]]]


def test_groups_of_a_convolution_see_their_own_channels():
    x = [[[1], [2], [3], [4]]]
    assert convolved(x, PLAIN, np.array([[[1], [10]], [[2], [20]]]), group=2) == [[[21], [86]]]
    assert convolved(x, PLAIN, np.array([[[1]], [[10]], [[3]], [[5]]]), group=4) == [[[1], [20], [9], [20]]]


def test_a_transposed_convolution_by_hand():
    x, weight = [[[11, 12]]], np.array([[[1, 10, 100]]])
    x_params, extra = QuantParams(8, 1.0, 10), {"output_padding": [0]}
    assert convolved(x, x_params, weight, **extra) == [[[1, 12, 120, 200]]]
    assert convolved(x, x_params, weight, strides=[2], output_padding=[1]) == [[[1, 10, 102, 20, 200, 0]]]
    assert convolved(x, x_params, weight, strides=[2], pads=[1, 2], output_padding=[1]) == [[[10, 102, 20]]]
    assert convolved(x, x_params, weight, dilations=[2], **extra) == [[[1, 2, 10, 20, 100, 200]]]


def test_a_matrix_product_by_hand():
    net = Net()
    net.feature("x", [2, 2], QuantParams(8, 1.0, 1))
    net.add("MatMul", ["x", np.array([[1, -1], [2, 3]], np.int8), int32(0, 4), np.array([0.5, 2], np.float32)], None,
            rule="float")  # fmt: skip
    assert net.reference(x=[[1, 2], [0, 4]])["y"].tolist() == [[1.0, 14.0], [2.5, 28.0]]


def test_the_float_rule_rounds_a_sum_once_before_the_scale():
    """2**24 + 1 is no float32 number: halves to even."""
    net = Net()
    net.feature("x", [2, 1], PLAIN)
    net.add("MatMul", ["x", np.array([[1]], np.int8), int32(2**24), np.array([3], np.float32)], None, rule="float")
    assert net.reference(x=[[1], [3]])["y"].ravel().tolist() == [3 * 2.0**24, 3 * (2.0**24 + 4)]


# --- fixed-point operators ---


@EXAMPLES
@given(quant_params(), quant_params(), quant_params(), effective_scales(2, negative=True), seeds, st.data())
def test_a_sum_of_features_is_the_plain_one(left, right, y_params, how, seed, data):
    (first, second), shift = how
    clamp, net = data.draw(clamps(y_params)), Net()
    net.feature("a", [1, 2, 3], left)
    net.feature("b", [3, 2, 1], right)
    net.add("Add", ["a", "b"], y_params, multipliers=[first, second], shift=shift, **clamp)
    a, b = random_codes(seed, (1, 2, 3), left), random_codes(seed + 1, (3, 2, 1), right)
    actual = net.reference(a=a, b=b)["y"]
    a, b = minus_zp(a, left), minus_zp(b, right)
    code = partial(scaled, y_params, clamp, shift)
    expected = reference.looped((3, 2, 3), lambda i, j, k: code(int(a[0, j, k]) * first + int(b[i, j, 0]) * second))
    np.testing.assert_array_equal(actual, expected)


def test_a_sum_and_a_difference_by_hand():
    """Halves go up: (3 - 6) / 2 = -1.5 -> -1."""
    net = Net()
    net.feature("a", [3], QuantParams(8, 1.0, 10))
    net.feature("b", [3], QuantParams(8, 2.0, 0))
    net.add("Add", ["a", "b"], SHIFTED, "sum", multipliers=[1, 2], shift=1)
    net.add("Add", ["a", "b"], SHIFTED, "difference", multipliers=[1, -2], shift=1)
    actual = net.reference(a=[13, 10, 0], b=[3, 1, 200])
    assert actual["sum"].tolist() == [105, 101, 255]
    assert actual["difference"].tolist() == [99, 99, 0]


@EXAMPLES
@given(quant_params(), quant_params(), quant_params(), effective_scales(), seeds, st.data())
def test_a_product_of_features_is_the_plain_one(left, right, y_params, how, seed, data):
    ([multiplier], shift), clamp, net = how, data.draw(clamps(y_params)), Net()
    net.feature("a", [2, 3], left)
    net.feature("b", [3], right)
    net.add("Mul", ["a", "b"], y_params, multipliers=[multiplier], shift=shift, **clamp)
    a, b = random_codes(seed, (2, 3), left), random_codes(seed + 1, (3,), right)
    actual = net.reference(a=a, b=b)["y"]
    a, b = minus_zp(a, left), minus_zp(b, right)
    code = partial(scaled, y_params, clamp, shift)
    expected = reference.looped((2, 3), lambda i, j: code(int(a[i, j]) * int(b[j]) * multiplier))
    np.testing.assert_array_equal(actual, expected)


def test_a_product_by_hand():
    """(7 - 10) * (5 - 2) * 3 / 4 = -6.75 -> -7; (12 - 10) * (3 - 2) * 3 / 4 = 1.5 -> 2."""
    net = Net()
    net.feature("a", [2], QuantParams(8, 1.0, 10))
    net.feature("b", [2], QuantParams(8, 1.0, 2))
    net.add("Mul", ["a", "b"], SHIFTED, multipliers=[3], shift=2)
    assert net.reference(a=[7, 12], b=[5, 3])["y"].tolist() == [93, 102]


@EXAMPLES
@given(quant_params(), quant_params(), quant_params(), effective_scales(), seeds, st.data())
def test_a_matrix_product_of_features_is_the_plain_one(left, right, y_params, how, seed, data):
    ([multiplier], shift), clamp, net = how, data.draw(clamps(y_params)), Net()
    net.feature("a", [2, 2, 3], left)
    net.feature("b", [1, 3, 2], right)
    net.add("MatMulFeatures", ["a", "b"], y_params, multipliers=[multiplier], shift=shift, terms=3, **clamp)
    a, b = random_codes(seed, (2, 2, 3), left), random_codes(seed + 1, (1, 3, 2), right)
    actual = net.reference(a=a, b=b)["y"]
    a, b = minus_zp(a, left), minus_zp(b, right)

    def value(n, i, j):
        total = sum(int(a[n, i, k]) * int(b[0, k, j]) for k in range(3))
        return scaled(y_params, clamp, shift, total * multiplier)

    np.testing.assert_array_equal(actual, reference.looped((2, 2, 2), value))


def test_a_matrix_product_of_features_by_hand():
    """[1 2] . [3 -1] = 1, [0 4] . [3 -1] = -4; times 1.5."""
    net = Net()
    net.feature("a", [2, 2], QuantParams(8, 1.0, 5))
    net.feature("b", [2, 1], QuantParams(8, 1.0, 1))
    net.add("MatMulFeatures", ["a", "b"], SHIFTED, multipliers=[3], shift=1, terms=2)
    assert net.reference(a=[[6, 7], [5, 9]], b=[[4], [0]])["y"].tolist() == [[102], [94]]


@EXAMPLES
@given(st.sampled_from(["Concat", "Max", "Min"]), st.lists(quant_params(), min_size=2, max_size=3), quant_params(),
       seeds, st.data())  # fmt: skip
def test_joined_features_are_each_brought_to_the_outputs_scale(kind, x_params, y_params, seed, data):
    multipliers, shift = data.draw(effective_scales(len(x_params)))
    clamp, net = data.draw(clamps(y_params)), Net()
    names = [net.feature(f"x{i}", [2, 3], qparams) for i, qparams in enumerate(x_params)]
    more = {"axis": 1} if kind == "Concat" else {}
    net.add(kind, names, y_params, multipliers=multipliers, shift=shift, **more, **clamp)
    codes = {name: random_codes(seed + i, (2, 3), x_params[i]) for i, name in enumerate(names)}
    actual = net.reference(**codes)["y"]
    parts = [
        reference.looped(
            (2, 3),
            lambda i, j, n=n: scaled(
                y_params, clamp, shift, int(minus_zp(codes[names[n]], x_params[n])[i, j]) * multipliers[n]
            ),
        ).tolist()
        for n in range(len(names))
    ]
    if kind == "Concat":
        expected = [[code for part in parts for code in part[i]] for i in range(2)]
    else:
        pick = max if kind == "Max" else min
        expected = [[pick(part[i][j] for part in parts) for j in range(3)] for i in range(2)]
    assert actual.tolist() == expected


def test_joined_features_by_hand():
    """The second operand is worth half a code a step: 10 - 7 = 3 -> 1.5 -> 2."""
    net = Net()
    net.feature("a", [1, 2], QuantParams(8, 1.0, 0))
    net.feature("b", [1, 2], QuantParams(8, 0.5, 7))
    how = {"multipliers": [2, 1], "shift": 1}
    net.add("Concat", ["a", "b"], SHIFTED, "joined", axis=-1, **how)
    net.add("Max", ["a", "b"], SHIFTED, "larger", **how)
    net.add("Min", ["a", "b"], SHIFTED, "smaller", **how)
    actual = net.reference(a=[[1, 200]], b=[[10, 0]])
    assert actual["joined"].tolist() == [[101, 255, 102, 97]]
    assert actual["larger"].tolist() == [[102, 255]]
    assert actual["smaller"].tolist() == [[101, 97]]


@EXAMPLES
@given(quant_params(), quant_params(), effective_scales(), st.sampled_from([[2, 3], [1], [0, 1, 2, 3], [3]]),
       st.booleans(), st.data())  # fmt: skip
def test_a_mean_is_the_plain_one(x_params, y_params, how, axes, keepdims, data):
    ([multiplier], shift), clamp, net, seed = how, data.draw(clamps(y_params)), Net(), data.draw(seeds)
    shape = (2, 3, 2, 4)
    net.feature("x", shape, x_params)
    count = int(np.prod([shape[axis] for axis in axes]))
    net.add("Mean", ["x"], y_params, multipliers=[multiplier], shift=shift, axes=axes, keepdims=int(keepdims),
            terms=count, **clamp)  # fmt: skip
    x = random_codes(seed, shape, x_params)
    actual = net.reference(x=x)["y"]
    total: dict[tuple[int, ...], int] = {}
    for index in np.ndindex(shape):
        kept = tuple(0 if axis in axes else place for axis, place in enumerate(index))
        total[kept] = total.get(kept, 0) + int(minus_zp(x, x_params)[index])
    size = [1 if axis in axes else length for axis, length in enumerate(shape)]
    expected = reference.looped(size, lambda *at: scaled(y_params, clamp, shift, total[at] * multiplier))
    kept = size if keepdims else [length for axis, length in enumerate(shape) if axis not in axes]
    np.testing.assert_array_equal(actual, expected.reshape(kept))


def test_a_mean_by_hand():
    """(1 + 2 + 3 - 4) / 4 = 0.5 -> 1."""
    net = Net()
    net.feature("x", [1, 1, 2, 2], QuantParams(8, 1.0, 4))
    net.add("Mean", ["x"], SHIFTED, multipliers=[1], shift=2, axes=[2, 3], keepdims=0, terms=4)
    assert net.reference(x=[5, 6, 7, 0])["y"].tolist() == [[101]]


@EXAMPLES
@given(quant_params(), quant_params(), st.booleans(), seeds, st.data())
def test_an_average_pool_is_the_plain_one(x_params, y_params, by_place, seed, data):
    kernel, strides, dilations = (data.draw(st.tuples(*[st.integers(1, n)] * 2)) for n in (3, 2, 2))
    pads = [data.draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    size = [dilations[i] * (kernel[i] - 1) + 1 + data.draw(st.integers(0, 2)) for i in range(2)]
    out = [(size[i] + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    rng = np.random.default_rng(seed)
    multipliers = rng.integers(1, 2**14, out if by_place else (), endpoint=True, dtype=np.int32)
    shift, clamp, net = data.draw(st.integers(8, 18)), data.draw(clamps(y_params)), Net()
    net.feature("x", [2, 2, *size], x_params)
    net.add("AveragePool", ["x", multipliers], y_params, kernel_shape=kernel, shift=shift, strides=strides,
            dilations=dilations, pads=pads, **clamp)  # fmt: skip
    x = random_codes(seed, (2, 2, *size), x_params)
    actual = net.reference(x=x)["y"]

    def value(n, c, i, j):
        total = 0
        for a in range(kernel[0]):
            for b in range(kernel[1]):
                row, column = i * strides[0] + a * dilations[0] - pads[0], j * strides[1] + b * dilations[1] - pads[1]
                if 0 <= row < size[0] and 0 <= column < size[1]:
                    total += int(x[n, c, row, column]) - x_params.zero_point
        return scaled(y_params, clamp, shift, total * int(multipliers[i, j] if by_place else multipliers))

    np.testing.assert_array_equal(actual, reference.looped((2, 2, *out), value))


def test_an_average_pool_by_hand():
    """Codes 12, 14, 20 stand for 2, 4, 10; the window at the edge has its own multiplier, which counts no padding."""
    net = Net()
    net.feature("x", [1, 1, 3], QuantParams(8, 1.0, 10))
    window = {"kernel_shape": [2], "strides": [1], "dilations": [1], "pads": [1, 0], "shift": 3}
    net.add("AveragePool", ["x", int32(8, 4, 4)], SHIFTED, "inside", **window)
    net.add("AveragePool", ["x", np.array(4, np.int32)], SHIFTED, "padded", **window)
    actual = net.reference(x=[12, 14, 20])
    assert actual["inside"].ravel().tolist() == [102, 103, 107]
    assert actual["padded"].ravel().tolist() == [101, 103, 107]


@EXAMPLES
@given(quant_params(), quant_params(), st.data())
def test_a_table_gives_every_code_its_entry(x_params, y_params, data):
    table = np.random.default_rng(data.draw(seeds)).integers(
        0, y_params.qmax, x_params.qmax + 1, endpoint=True, dtype=np.int32
    )
    clamp, net = data.draw(clamps(y_params)), Net()
    net.feature("x", [x_params.qmax + 1], x_params)
    net.add("Table", ["x", table], y_params, **clamp)
    actual = net.reference(x=np.arange(x_params.qmax + 1))["y"]
    low, high = clamp.get("low", 0), clamp.get("high", y_params.qmax)
    assert actual.tolist() == [reference.clamp(each, low, high) for each in table.tolist()]


def test_a_table_by_hand():
    net = Net()
    net.feature("x", [4], QuantParams(4, 1.0, 3))
    net.add("Table", ["x", int32(*range(160, 0, -10))], SHIFTED, high=150)
    assert net.reference(x=[0, 1, 3, 15])["y"].tolist() == [150, 150, 130, 10]


def test_a_table_of_each_channel_by_hand():
    net = Net()
    net.feature("x", [1, 2, 3], QuantParams(2, 1.0, 0))
    net.add("Table", ["x", np.array([[0, 10, 20, 30], [5, 15, 25, 35]], dtype=np.int32)], SHIFTED, high=30)
    assert net.reference(x=[[[0, 3, 1], [0, 3, 1]]])["y"].tolist() == [[[0, 30, 10], [5, 30, 15]]]


def test_values_of_channels_with_their_own_scales_by_hand():
    """Round(x / scale) + 100: -1 is 2 steps of 0.5 down, 4 of 0.25; 0.6 is 1.2 steps and 2.4; 100 saturates."""
    own = QuantParams(8, 0.5, 100, (0.5, 0.25))
    net = Net()
    net.feature("x", [1, 2, 3], own)
    net.add("Dequantize", ["x"], None)
    values = np.float32([[[-1, 0.6, 100], [-1, 0.6, 100]]])
    actual = run_reference(net.model(), {"x/real": values})
    assert actual["x"].tolist() == [[[98, 101, 255], [96, 102, 255]]]
    assert actual["y"].tolist() == [[[-1, 0.5, 77.5], [-1, 0.5, 38.75]]]


@EXAMPLES
@given(quant_params(), quant_params(), effective_scales(), seeds, st.data())
def test_prelu_has_an_effective_scale_for_each_side_of_zero(x_params, y_params, how, seed, data):
    ([positive], shift), clamp, net = how, data.draw(clamps(y_params)), Net()
    slopes = np.random.default_rng(seed).integers(-(2**14), 2**14, (3, 1, 1), endpoint=True, dtype=np.int32)
    net.feature("x", [1, 3, 2, 4], x_params)
    net.add("PRelu", ["x", slopes], y_params, multipliers=[positive], shift=shift, **clamp)
    x = random_codes(seed, (1, 3, 2, 4), x_params)
    actual = net.reference(x=x)["y"]

    def value(n, c, i, j):
        step = int(x[n, c, i, j]) - x_params.zero_point
        return scaled(y_params, clamp, shift, step * (int(slopes[c, 0, 0]) if step < 0 else positive))

    np.testing.assert_array_equal(actual, reference.looped((1, 3, 2, 4), value))


def test_prelu_by_hand():
    """A slope of -1/4: -6 -> 1.5 -> 2."""
    net = Net()
    net.feature("x", [3], QuantParams(8, 1.0, 10))
    net.add("PRelu", ["x", np.array(-1, np.int32)], SHIFTED, multipliers=[4], shift=2)
    assert net.reference(x=[4, 10, 17])["y"].tolist() == [102, 100, 107]


@EXAMPLES
@given(quant_params(), quant_params(), seeds, st.data())
def test_a_linear_resize_is_the_plain_sum_of_pixels(x_params, y_params, seed, data):
    rng = np.random.default_rng(seed)
    height, width, rows_out, columns_out = (data.draw(st.integers(1, 5)) for _ in range(4))
    rows, columns = (
        rng.multinomial(128, np.ones(before) / before, after).astype(np.int32)
        for before, after in ((height, rows_out), (width, columns_out))
    )
    clamp, net = data.draw(clamps(y_params)), Net()
    net.feature("x", [1, 2, height, width], x_params)
    net.add("Resize", ["x", rows, columns], y_params, shift=14, **clamp)
    x = random_codes(seed, (1, 2, height, width), x_params)
    actual = net.reference(x=x)["y"]

    def value(n, c, i, j):
        total = sum(
            int(rows[i, a]) * (int(x[n, c, a, b]) - x_params.zero_point) * int(columns[j, b])
            for a in range(height)
            for b in range(width)
        )
        return scaled(y_params, clamp, 14, total)

    np.testing.assert_array_equal(actual, reference.looped((1, 2, rows_out, columns_out), value))


def test_a_linear_resize_by_hand():
    """From 2 columns to 3, weights 1, 1/2 and 1/2, 1: the middle of 10 and 21 is 15.5 -> 16; rows swap."""
    net = Net()
    net.feature("x", [1, 1, 2, 2], PLAIN)
    rows, columns = np.array([[0, 128], [128, 0]], np.int32), np.array([[128, 0], [64, 64], [0, 128]], np.int32)
    net.add("Resize", ["x", rows, columns], PLAIN, shift=14)
    assert net.reference(x=[10, 21, 7, 255])["y"].tolist() == [[[[7, 131, 255], [10, 16, 21]]]]


# --- in and out ---


@EXAMPLES
@given(quant_params(), st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), st.floats(-1, 1, width=32))
def test_quantize_rounds_to_even_and_clamps(y_params, steps, offset):
    scale = np.float32(y_params.scale)
    x = np.array([*steps, offset, 0.5, 1.5, -0.5, -1.5, 1e30, -1e30], np.float32) * scale
    net = Net()
    net.feature("x", x.shape, y_params)
    codes = run_reference(net.model(), {"x/real": x})["x"]
    assert codes.dtype == (np.uint8 if y_params.bits <= 8 else np.uint16)
    expected = [reference.clamp(round(float(value / scale)) + y_params.zero_point, 0, y_params.qmax) for value in x]
    assert codes.tolist() == expected


@EXAMPLES
@given(quant_params())
def test_dequantize_gives_the_real_value_of_every_code(x_params):
    net = Net()
    net.feature("x", [x_params.qmax + 1], x_params)
    net.add("Dequantize", ["x"], None)
    actual = net.reference(x=np.arange(x_params.qmax + 1))["y"]
    scale = np.float32(x_params.scale)
    assert actual.dtype == np.float32
    assert actual.tolist() == [
        float(np.float32(code - x_params.zero_point) * scale) for code in range(x_params.qmax + 1)
    ]


def test_a_constant_is_its_stored_codes():
    net = Net()
    net.add("Constant", [np.array([1, 5, 255], np.uint8)], SHIFTED, "c")
    net.add("Add", ["c", "c"], SHIFTED, multipliers=[1, 0], shift=1)
    actual = net.reference()
    assert (actual["c"].dtype, actual["c"].tolist()) == (np.uint8, [1, 5, 255])
    assert actual["y"].tolist() == [51, 53, 178]


# --- codes on the move ---


@pytest.fixture
def moving():
    net = Net()
    net.feature("x", [1, 2, 2, 3], QuantParams(12, 0.5, 2000))
    return net


CODES = np.array([[[[0, 1, 2], [3, 4, 5]], [[4090, 4091, 4092], [4093, 4094, 4095]]]])


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "expected"),
    [
        ("Reshape", [np.array([3, 4])], {}, CODES.reshape(3, 4)),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}, CODES.transpose(0, 3, 1, 2)),
        ("Flatten", [], {}, CODES.reshape(1, 12)),
        ("Slice", [np.array([1]), np.array([3]), np.array([3])], {}, CODES[..., 1:3]),
        ("Squeeze", [np.array([0])], {}, CODES[0]),
        ("Unsqueeze", [np.array([1])], {}, CODES[:, None]),
        ("Identity", [], {}, CODES),
        ("GlobalMaxPool", [], {}, CODES.max((2, 3), keepdims=True)),
        ("SpaceToDepth", [], {"blocksize": 1}, CODES),
        ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, [[[[0, 1, 2], [3, 4, 5]],
                                                                     [[4090, 4091, 4092], [4093, 4094, 4095]]]]),
        ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 1]},
         [[[[4, 5]], [[4094, 4095]]]]),
        ("Resize", ["", np.array([1, 1, 1, 2], np.float32)],
         {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
         CODES.repeat(2, -1)),
    ],
)  # fmt: skip
def test_onnx_operators_move_and_pick_codes(moving, kind, inputs, attributes, expected):
    moving.plain(kind, ["x", *inputs], "y", **attributes)
    actual = moving.reference(x=CODES)["y"]
    assert actual.dtype == np.uint16
    assert actual.tolist() == np.asarray(expected).tolist()


def test_split_moves_codes_to_several_outputs(moving):
    moving.plain("Split", ["x", np.array([1, 2])], "a", "b", axis=3)
    actual = moving.reference(x=CODES)
    assert actual["a"].tolist() == CODES[..., :1].tolist()
    assert actual["b"].tolist() == CODES[..., 1:].tolist()
    assert actual["a"].dtype == actual["b"].dtype == np.uint16
