"""Both sides of every bound up to which the simulator stays in float32, with the inputs that reach it.

Each case looks at the simulator's nodes first: which way it took.
"""

from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.quant_params import QuantParams
from tests.core.integer import reference
from tests.core.integer.nets import Net, agree

LIMIT = 2**24
BYTES = QuantParams(8, 1.0, 0)
FULL = QuantParams(16, 1.0, 0)


def int32(values):
    return np.array(values, dtype=np.int32)


def ways(net, values):
    """How often each operator occurs in the simulator; `double` counts casts to double."""
    nodes = net.simulator(values).graph.node
    actual = Counter(node.op_type for node in nodes)
    actual["double"] = sum(node.op_type == "Cast" and attribute(node, "to") == TensorProto.DOUBLE for node in nodes)
    return actual


def checked(net, codes, **expected):
    """Values on which reference and simulator agree, once the simulator took the expected way."""
    actual = ways(net, net.reference(**codes))
    assert {kind: actual[kind] for kind in expected} == expected
    return agree(net, **codes)


# --- sums of products: sum|w| * reach around 2**24 ---


def summing(kind, x_params, weights, bias=0):
    """One output channel with these weights (16 bits); the float rule, whose bias can make large sums visible."""
    weights = np.asarray(weights, np.int16)
    net, count = Net(), len(weights)
    parameters = [int32([bias]), np.ones(1, np.float32)]
    window = {"strides": [1], "dilations": [1], "pads": [0, 0], "group": 1}
    if kind == "MatMul":
        net.feature("x", [1, count], x_params)
        net.add(kind, ["x", weights[:, None], *parameters], None, rule="float")
    elif kind == "Conv":
        net.feature("x", [1, count, 1], x_params)
        net.add(kind, ["x", weights[None, :, None], *parameters], None, rule="float", **window)
    elif kind == "kernel":
        net.feature("x", [1, 1, count], x_params)
        net.add("Conv", ["x", weights[None, None], *parameters], None, rule="float", **window)
    else:
        net.feature("x", [1, count, 1], x_params)
        net.add(kind, ["x", weights[:, None, None], *parameters], None, rule="float", output_padding=[0], **window)
    return net


KINDS = {"Conv": "Conv", "kernel": "Conv", "ConvTranspose": "ConvTranspose", "MatMul": "MatMul"}


def of_sum(total, most=32767):
    """Positive weights with this sum."""
    full, rest = divmod(total, most)
    return [most] * full + [rest] * (rest > 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_point", [0, 255])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_up_to_the_bound_stay_in_float32(kind, zero_point, sign):
    """65793 * 255 = 2**24 - 1: reached by all codes at the end that is far from the zero point."""
    x_params = QuantParams(8, 1.0, zero_point)
    weights = sign * np.array(of_sum(65793))
    largest = (1 if zero_point == 0 else -1) * sign * (LIMIT - 1)
    net = summing(kind, x_params, weights, -largest + 7)
    codes = np.full(len(weights), 255 - zero_point)
    assert checked(net, {"x": codes}, double=0, **{KINDS[kind]: 1})["y"].item() == 7.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_point", [0, 255])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("total", [65794, 65795, 131587, 263171, 263173])
def test_sums_beyond_the_bound_are_split(kind, zero_point, sign, total):
    """Up to 2**26, where a sum in float32 would miss up to two; the bias leaves the last digits of the sum."""
    x_params = QuantParams(8, 1.0, zero_point)
    weights = sign * np.array(of_sum(total))
    largest = (1 if zero_point == 0 else -1) * sign * total * 255
    bias = -int(np.round(largest / 2**20)) * 2**20
    net = summing(kind, x_params, weights, bias)
    codes = np.full(len(weights), 255 - zero_point)
    actual = ways(net, net.reference(x=codes))
    assert actual[KINDS[kind]] > 1
    assert actual["double"] == actual[KINDS[kind]]
    assert agree(net, x=codes)["y"].item() == float(largest + bias)


@pytest.mark.parametrize(("total", "split"), [(131071, False), (131073, True)])
def test_both_ends_of_the_features_count(total, split):
    """Codes -128 .. 127: weights of both signs reach -128 * sum|w|, here by codes at one end and weights' signs."""
    x_params = QuantParams(8, 1.0, 128)
    weights = np.array(of_sum(total)) * -1
    net = summing("Conv", x_params, weights, -LIMIT)
    setup = checked(net, {"x": np.zeros(len(weights), int)}, Conv=2 if split else 1)
    assert setup["y"].item() == float(128 * total - LIMIT)


def test_no_partial_sum_leaves_float32_behind_a_small_total():
    """The total is small, the way there is not: all large ones come first."""
    weights = np.concatenate([np.full(300, 32767), np.full(300, -32767), [1]])
    for kind in KINDS:
        net = summing(kind, QuantParams(8, 1.0, 0), weights)
        codes = np.concatenate([np.full(300, 253), np.full(299, 253), [252], [3]])
        assert ways(net, net.reference(x=codes))[KINDS[kind]] > 1
        assert agree(net, x=codes)["y"].item() == 32767 + 3


@pytest.mark.parametrize(("total", "convolutions"), [(65793, 2), (65795, 3)])
def test_a_digit_of_a_feature_reaches_all_its_values(total, convolutions):
    """Codes -32768 .. 32767: the low byte is up to 255, which times 65795 is beyond the bound; the high one is not."""
    weights = of_sum(total)
    net = summing("Conv", QuantParams(16, 1.0, 32768), weights, -LIMIT)
    for code in (255, 511, -1, 32767):
        codes = np.full(len(weights), code + 32768)
        assert checked(net, {"x": codes}, Conv=convolutions)["y"].item() == float(np.float32(total * code - LIMIT))


@pytest.mark.parametrize("zero_point", [0, 32768, 65535])
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bit_weights_with_sixteen_bit_features(kind, count, zero_point):
    """The widest there is, at its extremes: sums of 31 bits and more."""
    rng = np.random.default_rng(count)
    weights = rng.choice([-32768, 32767, -32767, 1], count)
    x_params = QuantParams(16, 1.0, zero_point)
    for codes in (np.where(weights > 0, 65535, 0), np.where(weights > 0, 0, 65535), np.full(count, 65535)):
        exact = sum(int(w) * (int(code) - zero_point) for w, code in zip(weights, codes, strict=True))
        bias = int(np.clip(-exact, 1 - 2**31, 2**31 - 1))
        net = summing(kind, x_params, weights, bias)
        assert agree(net, x=codes)["y"].item() == float(np.float32(exact + bias))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("zero_point", [0, 2048, 4095])
def test_a_seven_by_seven_depthwise_convolution_of_twelve_bits(zero_point, sign):
    """49 * 4095 * 127 = 25.5 million: beyond the bound, with 8-bit weights all at their end."""
    x_params, channels = QuantParams(12, 1.0, zero_point), 3
    rng = np.random.default_rng(1)
    weight = np.where(rng.random((channels, 1, 7, 7)) < 0.5, 127, -128).astype(np.int8)
    weight[0], weight[1] = 127, -128
    window = ([1, 1], [1, 1], [3, 3, 3, 3], channels)
    accumulate = reference.convolution(weight, *window)
    for channel in range(channels):
        codes = reference.extreme_codes(accumulate, (1, channels, 9, 9), 4095, 81 * channel + 40, sign, zero_point)
        acc = reference.sums(accumulate, codes - zero_point)
        bias = -acc[0, :, 4, 4] - sign  # the middle ends up one beside 0
        net = Net()
        net.feature("x", [1, channels, 9, 9], x_params)
        names = ("strides", "dilations", "pads", "group")
        net.add("Conv", ["x", weight, int32(bias), np.ones(channels, np.float32)], None, rule="float",
                **dict(zip(names, window, strict=True)))  # fmt: skip
        values = net.reference(x=codes)
        assert (ways(net, values)["Conv"] > 1) == (zero_point != 2048)
        actual = agree(net, x=codes)["y"]
        np.testing.assert_array_equal(actual, (acc + bias[:, None, None]).astype(np.float32))
        assert (actual[0, :, 4, 4] == -sign).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_each_group_of_a_transposed_convolution_has_its_own_sums(groups):
    """Two channels of 32767 each stay below the bound in groups of their own, 65794 in one does not."""
    weight = np.array([[[32767]], [[32767]], [[260]], [[1]]], np.int16)
    net, count = Net(), groups
    net.feature("x", [1, 4, 1], BYTES)
    net.add("ConvTranspose", ["x", weight, int32([-LIMIT] * count), np.ones(count, np.float32)], None,
            rule="float", strides=[1], dilations=[1], pads=[0, 0], output_padding=[0], group=groups)  # fmt: skip
    actual = ways(net, net.reference(x=np.full(4, 255)))
    assert (actual["ConvTranspose"] > 1) == (groups == 1)
    expected = [255 * 65534 - LIMIT, 255 * 261 - LIMIT] if groups == 2 else [255 * 65795 - LIMIT]
    assert agree(net, x=np.full(4, 255))["y"].ravel().tolist() == expected


@pytest.mark.parametrize(("length", "convolutions"), [(256, 1), (257, 2)])
def test_pools_are_split_where_their_sums_leave_float32(length, convolutions):
    net = Net()
    net.feature("x", [1, 2, length], FULL)
    net.add("AveragePool", ["x", np.array(1, np.int32)], FULL, kernel_shape=[length], shift=9, strides=[1],
            dilations=[1], pads=[0, 0])  # fmt: skip
    codes = np.full((2, length), 65535)
    codes[0, 0] -= (int(codes[0].sum()) - 255) % 512  # the sum is one below a boundary
    setup = checked(net, {"x": codes}, Conv=convolutions)["y"]
    assert setup.ravel().tolist() == [(int(row.sum()) + 256) // 512 for row in codes]


# --- divisions: mult * 2**bits around 2**24 ---


def depthwise(rule, y_params, acc, *parameters):
    """Each channel's sum is `acc` (below 256 * 127); its parameters are its own."""
    channels = len(parameters[0])
    high, low = divmod(acc, 127)
    net = Net()
    net.feature("x", [1, 2 * channels, 1], BYTES)
    weight = np.tile(np.array([[[127], [1]]], np.int8), (channels, 1, 1))
    net.add("Conv", ["x", weight, *map(int32, parameters)], y_params, rule=rule, strides=[1], dilations=[1],
            pads=[0, 0], group=channels)  # fmt: skip
    return net, {"x": np.tile([high, low], channels)}


@pytest.mark.parametrize(
    ("bits", "mult", "double"),
    [
        (8, 65280, False), (8, 65281, True), (8, 65535, True), (4, 65535, False), (12, 4095, False), (12, 4096, True),
        (12, 12001, True), (12, 16367, True), (16, 255, False), (16, 256, True), (16, 1021, True), (16, 1, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zero_point", ["low", "middle", "high"])
def test_quotients_at_a_boundary_and_one_below(bits, mult, double, zero_point):
    """4*acc + bias is an exact multiple of mult, and one or four less: that many units below the next code."""
    qmax = 2**bits - 1
    y_params = QuantParams(bits, 1.0, {"low": 0, "middle": 2 ** (bits - 1), "high": qmax}[zero_point])
    steps = np.unique(
        np.concatenate([np.arange(-2, 70), np.linspace(0, qmax, 60).astype(int), np.arange(qmax - 70, qmax + 3)])
    )
    steps = np.repeat(steps, 3)
    less = np.tile([0, 1, 4], len(steps) // 3)
    acc = 12345
    bias = (steps - 2 ** (bits - 1)) * mult - 4 * acc - less
    # what does not fit in float32, in units of a quarter, goes the other way for its own reason
    offset = bias / 4 + (2 ** (bits - 1) - y_params.zero_point) * mult / 4
    kept = offset.astype(np.float32) == offset
    assert kept.sum() > 100
    net, codes = depthwise("nna", y_params, acc, bias[kept], np.full(kept.sum(), mult))
    setup = checked(net, codes, double=int(double), Conv=1)["y"]
    np.testing.assert_array_equal(setup.ravel(), np.clip(steps - -(-less // mult), 0, qmax)[kept])


def test_one_wide_channel_takes_all_to_double():
    net, codes = depthwise("nna", BYTES, 1000, [-4000, -4000 - 8], [8, 65281])
    assert checked(net, codes, double=1)["y"].ravel().tolist() == [128, 127]


@pytest.mark.parametrize(
    ("bias", "double"), [(2**26, 0), (2**26 + 4, 1), (2**26 - 1, 1), (2**24 - 1, 0), (-(2**31) + 1, 1)]
)
def test_a_bias_that_float32_cannot_hold_goes_to_double(bias, double):
    """A quarter of it is what is added, in whole numbers of 24 bits."""
    y_params = QuantParams(8, 1.0, 128)
    weights = np.array(of_sum(65793, most=127), np.int8)
    net = Net()
    net.feature("x", [1, len(weights), 1], BYTES)
    net.add("Conv", ["x", -np.sign(bias) * weights[None, :, None], int32([bias]), int32([4])], y_params, rule="nna",
            strides=[1], dilations=[1], pads=[0, 0], group=1)  # fmt: skip
    codes = np.full(len(weights), 255)
    largest = -int(np.sign(bias)) * 65793 * 255
    actual = checked(net, {"x": codes}, double=double, Conv=1)["y"].item()
    assert actual == reference.nna(largest, bias, 4, 8)


@pytest.mark.parametrize("bias", [2**24, 2**24 + 1, -(2**24) - 1, 2**31 - 1, 1 - 2**31])
def test_a_bias_of_the_float_rule_is_added_exactly(bias):
    net = summing("MatMul", BYTES, [1, -1], bias)
    held = float(np.float32(bias)) == bias
    for codes in ([0, 255], [255, 0], [0, 1], [2, 0]):
        expected = float(np.float32(bias + codes[0] - codes[1]))
        assert checked(net, {"x": codes}, double=0 if held else 1)["y"].item() == expected


@pytest.mark.parametrize(("shift", "double"), [(1, 0), (13, 0), (14, 1), (20, 1), (46, 1)])
def test_shifts_at_a_boundary_and_one_below(shift, double):
    y_params = QuantParams(8, 1.0, 128)
    steps = np.repeat(np.arange(-2, 258) - 128, 2)
    less = np.tile([0, 1], 260)
    bias = steps * 2**shift - 2 ** (shift - 1) - 12345 - less
    kept = np.abs(bias) < 2**31
    net, codes = depthwise(
        "multiplier_shift", y_params, 12345, bias[kept], *([value] * kept.sum() for value in (1, shift))
    )
    if kept.sum() == 0:
        net, codes = depthwise("multiplier_shift", y_params, 12345, [2**31 - 1, 1 - 2**31], [1, 1], [shift, shift])
        assert checked(net, codes, double=double)["y"].ravel().tolist() == [128, 128]
        return
    setup = checked(net, codes, double=double)["y"]
    np.testing.assert_array_equal(setup.ravel(), np.clip(steps + 128 - less, 0, 255)[kept])


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_fixed_point_products_at_a_boundary_and_one_below(bits):
    """2**14 / 2**shift: a sum is a whole number of halves of a code."""
    y_params = QuantParams(bits, 1.0, 2 ** (bits - 1))
    steps = np.repeat(np.unique(np.linspace(-2, y_params.qmax + 3, 200).astype(int)) - y_params.zero_point, 2)
    less = np.arange(len(steps)) % 2
    for shift in (15, 20, 26):
        bias = steps * 2 ** (shift - 14) - 2 ** (shift - 15) - 12345 - less
        net, codes = depthwise(
            "multiplier_shift", y_params, 12345, bias, *([value] * len(bias) for value in (2**14, shift))
        )
        setup = checked(net, codes, double=1, Conv=1)["y"]
        np.testing.assert_array_equal(setup.ravel(), np.clip(steps + y_params.zero_point - less, 0, y_params.qmax))


# --- fixed-point operators: sum of reach * multiplier around 2**24 ---


def every_pair(kind, left, right, y_params, multipliers, shift, **clamp):
    """All pairs of codes of two features: what the simulator takes to double, and the codes, in Python's integers."""
    net = Net()
    net.feature("a", [left.qmax + 1, 1], left)
    net.feature("b", [1, right.qmax + 1], right)
    net.add(kind, ["a", "b"], y_params, multipliers=multipliers, shift=shift, **clamp)
    codes = {"a": np.arange(left.qmax + 1), "b": np.arange(right.qmax + 1)}
    actual = ways(net, net.reference(**codes))["double"]
    a, b = codes["a"][:, None] - left.zero_point, codes["b"][None] - right.zero_point
    acc = a * multipliers[0] + b * multipliers[1] if kind == "Add" else a * b * multipliers[0]
    expected = np.floor_divide(2 * acc + 2**shift, 2 ** (shift + 1)) + y_params.zero_point
    np.testing.assert_array_equal(agree(net, **codes)["y"], np.clip(expected, 0, y_params.qmax))
    return actual


TEN, TWELVE = QuantParams(10, 1.0, 0), QuantParams(12, 1.0, 0)


@pytest.mark.parametrize(
    ("multipliers", "shift", "double"),
    [
        ((8200, 8192), 13, 0),  # 1023 * 16392 + 2**13 = 2**24 - 8
        ((8201, 8192), 13, 2),
        ((8201, -8192), 13, 2),
        ((16383, 16384), 14, 2),  # float32 would take values just below a half for one: 25 bits
        ((16383, -16381), 14, 2),
        ((7, 5), 23, 0),
        ((7, 5), 24, 2),
    ],
)
def test_sums_of_every_pair_of_ten_bit_codes(multipliers, shift, double):
    y_params = TWELVE if multipliers[1] > 0 else QuantParams(12, 1.0, 2048)
    assert every_pair("Add", TEN, TEN, y_params, multipliers, shift) == double


@pytest.mark.parametrize("zero_points", [(0, 0), (512, 1023), (1023, 1023)])
def test_sums_of_every_pair_whatever_the_zero_points(zero_points):
    left, right = (QuantParams(10, 1.0, zero_point) for zero_point in zero_points)
    every_pair("Add", left, right, QuantParams(12, 1.0, 1800), (16383, 13001), 14)


@pytest.mark.parametrize(
    ("multiplier", "shift", "double"), [(258, 8, 0), (259, 8, 1), (1023, 18, 1), (1, 1, 0), (16383, 22, 1)]
)
def test_products_of_every_pair_of_bytes(multiplier, shift, double):
    """255 * 255 * 258 + 2**8 is the last below 2**24."""
    y_params = QuantParams(8 if shift > 8 else 16, 1.0, 0)
    assert every_pair("Mul", BYTES, BYTES, y_params, (multiplier,), shift) == double
    signed = QuantParams(8, 1.0, 130)
    every_pair("Mul", signed, BYTES, QuantParams(12, 1.0, 2048), (multiplier,), shift)


@pytest.mark.parametrize(("bits", "double"), [((12, 12), 0), ((12, 13), 2), ((13, 13), 2), ((16, 16), 2)])
def test_products_themselves_leave_float32(bits, double):
    """4095 * 4095 does not; then nothing but halving, so that every unit shows: odd products have their half."""
    left, right = (QuantParams(width, 1.0, 0) for width in bits)
    net, y_params = Net(), QuantParams(16, 1.0, 0)
    net.feature("a", [64, 1], left)
    net.feature("b", [1, 64], right)
    shift = sum(bits) - 16
    net.add("Mul", ["a", "b"], y_params, multipliers=[1], shift=shift)
    rng = np.random.default_rng(5)
    codes = {"a": left.qmax - np.arange(64), "b": right.qmax - rng.permutation(64)}
    # one below a boundary, wherever there is such a product: the whole range is searched
    wanted = 2 ** (shift - 1) - 1
    odd = left.qmax - 2 * np.arange(32)
    partners = [pow(int(value), -1, 2**shift) * wanted % 2**shift for value in odd]
    partners = [value + (right.qmax - value) // 2**shift * 2**shift for value in partners]
    codes["a"][:32], codes["b"][:32] = odd, partners
    setup = checked(net, codes, double=double)["y"]
    exact = codes["a"][:, None] * codes["b"][None]
    assert (exact % 2**shift == wanted).sum() >= 32
    np.testing.assert_array_equal(setup, np.clip((exact + 2 ** (shift - 1)) >> shift, 0, 65535))


@pytest.mark.parametrize(("terms", "double"), [(1023, 1), (1024, 2), (4000, 2)])
def test_matrix_products_of_features_leave_float32(terms, double):
    """Codes -128 .. 127: a sum climbs beyond 2**24 and comes back to a few, where every unit shows.

    The effective scale of 2 / 2**1 takes the sums to double in any case; of 1023 terms not the product before.
    """
    x_params, y_params = QuantParams(8, 1.0, 128), QuantParams(16, 1.0, 32768)
    net, rng = Net(), np.random.default_rng(2)
    net.feature("a", [6, terms], x_params)
    net.feature("b", [terms, 2], x_params)
    net.add("MatMulFeatures", ["a", "b"], y_params, multipliers=[2], shift=1, terms=terms)
    a = rng.integers(100, 128, (6, terms)) | 1
    a[:, terms // 2 :] *= -1
    a[:, -400:] = np.clip(a[:, -400:] - (a.sum(1) / 400).astype(int)[:, None], -128, 127)
    b = np.stack([np.full(terms, 127), np.full(terms, -128)], 1)
    net_codes = {"a": a + 128, "b": b + 128}
    setup = checked(net, net_codes, double=double)["y"]
    np.testing.assert_array_equal(setup, np.clip(a @ b + 32768, 0, 65535))


@pytest.mark.parametrize("terms", [258, 259, 600])
def test_large_matrix_products_of_features_keep_their_last_digit(terms):
    """255 * 255 * 258 is the last below 2**24; the sums are odd multiples one below a boundary."""
    net, shift = Net(), 10
    net.feature("a", [200, terms], BYTES)
    net.feature("b", [terms, 1], BYTES)
    net.add("MatMulFeatures", ["a", "b"], FULL, multipliers=[1], shift=shift, terms=terms)
    a = np.full((200, terms), 255)
    a[:, 0] -= np.arange(200)
    b = np.full((terms, 1), 255)
    b[0] = 1
    b[1] = (511 - int(b[2:].sum()) * 255 - 254) * pow(255, -1, 2**shift) % 2**shift % 256
    setup = checked(net, {"a": a, "b": b}, double=1 if terms == 258 else 2)["y"]
    np.testing.assert_array_equal(setup, (a @ b + 2 ** (shift - 1)) >> shift)


@pytest.mark.parametrize(("count", "double"), [(131071, 0), (131072, 1)])
def test_sums_of_a_mean_leave_float32(count, double):
    """Codes -128 .. 127, all at their low end: 131072 * -128 = -2**24."""
    net, x_params = Net(), QuantParams(8, 1.0, 128)
    net.feature("x", [1, count], x_params)
    net.add("Mean", ["x"], x_params, "y", multipliers=[1], shift=17, axes=[1], keepdims=1, terms=count)
    values = net.reference(x=np.zeros(count))
    nodes = [node for node in net.simulator(values).graph.node if node.op_type in ("Cast", "ReduceSum")]
    summed = [node.op_type for node in nodes if attribute(node, "to") == TensorProto.DOUBLE or node.op_type != "Cast"]
    assert summed[: 1 + double] == (["Cast", "ReduceSum"] if double else ["ReduceSum"])
    assert agree(net, x=np.zeros(count))["y"].item() == 0
    assert agree(net, x=np.full(count, 255))["y"].item() == 255


@pytest.mark.parametrize("count", [255, 257, 700, 1000])
def test_means_of_wide_codes_keep_their_last_digit(count):
    """Sums of up to 26 bits, each one below a boundary."""
    net, channels = Net(), 64
    net.feature("x", [1, channels, count], FULL)
    net.add("Mean", ["x"], FULL, multipliers=[1], shift=10, axes=[2], keepdims=0, terms=count)
    codes = np.random.default_rng(count).integers(60000, 65535, (channels, count), endpoint=True)
    codes[:, 0] -= (codes.sum(1) - 511) % 1024
    actual = agree(net, x=codes)["y"].ravel()
    np.testing.assert_array_equal(actual, codes.sum(1) >> 10)


@pytest.mark.parametrize(("bits", "first"), [(10, "MatMul"), (11, "Cast")])
def test_interpolated_codes_keep_their_last_digit(bits, first):
    """1023 * 2**14 < 2**24. All pairs of weights, so that many sums are one below a boundary; counted below."""
    x_params = QuantParams(bits, 1.0, 0)
    weights = np.stack([np.arange(129), 128 - np.arange(129)], 1).astype(np.int32)
    net = Net()
    net.feature("x", [1, 40, 2, 2], x_params)
    net.add("Resize", ["x", weights, weights], x_params, shift=14)
    codes = np.random.default_rng(bits).integers(x_params.qmax - 80, x_params.qmax, (40, 2, 2), endpoint=True)
    values = net.reference(x=codes)
    kinds = [node.op_type for node in net.simulator(values).graph.node]
    assert kinds[kinds.index("Clip") + 1] == first
    sums = np.einsum("ia,cab,jb->cij", weights.astype(np.int64), codes, weights.astype(np.int64))
    assert ((sums % 2**14 == 2**13 - 1) & (sums > x_params.qmax * 2**13)).sum() > 5
    np.testing.assert_array_equal(agree(net, x=codes)["y"][0], (sums + 2**13) >> 14)


@pytest.mark.parametrize("bits", [4, 8, 10, 11, 12, 16])
@pytest.mark.parametrize("zero_point", ["low", "middle", "high"])
def test_prelu_of_every_code(bits, zero_point):
    qmax = 2**bits - 1
    x_params = QuantParams(bits, 1.0, {"low": 0, "middle": 2 ** (bits - 1), "high": qmax}[zero_point])
    slopes = int32([16384, 8191, -5000, 1, 0])[:, None]
    net = Net()
    net.feature("x", [5, qmax + 1], x_params)
    net.add("PRelu", ["x", slopes], x_params, multipliers=[16383], shift=14)
    codes = np.tile(np.arange(qmax + 1), (5, 1))
    steps = codes - x_params.zero_point
    sums = np.where(steps < 0, steps * slopes.astype(np.int64), steps * 16383)
    expected = np.clip(((sums + 2**13) >> 14) + x_params.zero_point, 0, qmax)
    np.testing.assert_array_equal(agree(net, x=codes)["y"], expected)


@pytest.mark.parametrize("bits", [4, 8, 10, 11, 12, 16])
@pytest.mark.parametrize("kind", ["Concat", "Max", "Min"])
@pytest.mark.parametrize("multiplier", [16383, 12289])
def test_every_code_in_another_scale(kind, bits, multiplier):
    x_params, y_params = QuantParams(bits, 1.0, 3), QuantParams(bits, 1.0, 5)
    net = Net()
    net.feature("x", [1, x_params.qmax + 1], x_params)
    more = {"axis": 0} if kind == "Concat" else {}
    net.add(kind, ["x", "x"], y_params, multipliers=[multiplier, multiplier // 2], shift=14, **more)
    codes = np.arange(x_params.qmax + 1)
    parts = [np.clip((((codes - 3) * m + 2**13) >> 14) + 5, 0, y_params.qmax) for m in (multiplier, multiplier // 2)]
    join = {"Concat": np.stack, "Max": lambda p: np.max(p, 0)[None], "Min": lambda p: np.min(p, 0)[None]}[kind]
    np.testing.assert_array_equal(agree(net, x=codes)["y"], join(parts))


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("zero_point", ["low", "middle", "high"])
def test_a_table_of_every_code(bits, zero_point):
    qmax = 2**bits - 1
    x_params = QuantParams(bits, 1.0, {"low": 0, "middle": 2 ** (bits - 1), "high": qmax}[zero_point])
    table = np.random.default_rng(bits).permutation(qmax + 1).astype(np.int32)
    net = Net()
    net.feature("x", [qmax + 1], x_params)
    net.add("Table", ["x", table], QuantParams(16, 1.0, 9))
    assert agree(net, x=np.arange(qmax + 1))["y"].tolist() == table.tolist()
