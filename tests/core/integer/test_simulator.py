from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner
from stages.core.integer import rules
from stages.core.integer.quant_params import QuantParams
from tests.core.integer import reference
from tests.core.integer.cases import (
    RULES,
    channel_quant_params,
    clamps,
    effective_scales,
    fixed,
    inputs,
    parameters,
    quant_params,
    seeds,
    weighted,
)
from tests.core.integer.nets import Net, agree, assert_same, real
from tests.examples import examples

EXAMPLES = examples(40)
PLAIN = QuantParams(8, 1.0, 0)


def random_codes(seed, shape, qparams):
    """Noise, or one time in four nothing but ends."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, qparams.qmax, shape, endpoint=True)
    return np.where(codes > qparams.qmax // 2, qparams.qmax, 0) if seed % 4 == 0 else codes


# --- any model of one operator ---


@examples(150)
@given(weighted, st.sampled_from(RULES), st.data())
def test_weighted_operators_agree(layer, rule, data):
    y_params = None if rule == "float" else data.draw(quant_params())
    codes = data.draw(inputs(layer))
    values = data.draw(parameters(rule, layer.sums(codes), layer.channel_axis, layer.channels, y_params))
    clamp = data.draw(clamps(y_params)) if y_params else {}
    agree(layer.net(values, rule, y_params, clamp), x=codes)


def test_an_operand_in_the_outputs_scale_is_clamped_too():
    """_rescaled takes an unchanged operand past the node's low..high; the reference clamps it."""
    net, y_params = Net(), QuantParams(8, 1.0, 10)
    net.feature("x", [1, 4], y_params)
    net.add("Concat", ["x", "x"], y_params, axis=0, multipliers=[2**13, 2**13], shift=13, low=10, high=100)
    agree(net, x=[0, 10, 20, 255])


def test_sums_that_double_cannot_hold_are_refused():
    net, wide = Net(), QuantParams(16, 1.0, 0)
    net.feature("a", [1, 512], wide)
    net.feature("b", [512, 1], wide)
    net.add("MatMulFeatures", ["a", "b"], wide, multipliers=[16381], shift=40, terms=512)
    with pytest.raises(UserError, match="2\\*\\*53"):
        net.simulator({}, codes=True)


@EXAMPLES
@given(st.sampled_from(["Add", "Mul"]), quant_params(), quant_params(), quant_params(), st.data())
def test_sums_and_products_of_features_agree(kind, left, right, y_params, data):
    count = 2 if kind == "Add" else 1
    multipliers, shift = data.draw(effective_scales(count, negative=kind == "Add"))
    if kind == "Mul":  # so that products use the output's codes
        shift = min(shift + max(left.bits + right.bits - y_params.bits, 0), 46)
    net = Net()
    net.feature("a", [1, 3, 4, 5], left)
    net.feature("b", [3, 1, 5], right)
    net.add(kind, ["a", "b"], y_params, multipliers=multipliers, shift=shift, **data.draw(clamps(y_params)))
    seed = data.draw(seeds)
    agree(net, a=random_codes(seed, (1, 3, 4, 5), left), b=random_codes(seed // 4, (3, 1, 5), right))


@EXAMPLES
@given(quant_params(), quant_params(), quant_params(), st.integers(1, 40), st.data())
def test_matrix_products_of_features_agree(left, right, y_params, terms, data):
    ([multiplier], shift), net = data.draw(effective_scales()), Net()
    shift = min(shift + max(left.bits + right.bits + terms.bit_length() - y_params.bits, 0), 46)
    net.feature("a", [2, 2, terms], left)
    net.feature("b", [2, terms, 3], right)
    net.add("MatMulFeatures", ["a", "b"], y_params, multipliers=[multiplier], shift=shift, terms=terms,
            **data.draw(clamps(y_params)))  # fmt: skip
    seed = data.draw(seeds)
    agree(net, a=random_codes(seed, (2, 2, terms), left), b=random_codes(seed // 4, (2, terms, 3), right))


@EXAMPLES
@given(
    st.sampled_from(["Concat", "Max", "Min"]),
    st.lists(quant_params(), min_size=1, max_size=3),
    quant_params(),
    st.data(),
)
def test_joined_features_agree(kind, x_params, y_params, data):
    multipliers, shift = data.draw(effective_scales(len(x_params)))
    net, seed = Net(), data.draw(seeds)
    names = [net.feature(f"x{i}", [2, 3, 4], qparams) for i, qparams in enumerate(x_params)]
    more = {"axis": data.draw(st.integers(-3, 2))} if kind == "Concat" else {}
    net.add(kind, names, y_params, multipliers=multipliers, shift=shift, **more, **data.draw(clamps(y_params)))
    agree(net, **{name: random_codes(seed + i, (2, 3, 4), x_params[i]) for i, name in enumerate(names)})


@pytest.mark.parametrize("kind", ["Concat", "Max", "Min"])
def test_operands_in_the_outputs_scale_are_joined_as_they_are(kind):
    net, y_params = Net(), QuantParams(8, 0.5, 7)
    net.feature("a", [2, 256], y_params)
    net.feature("b", [2, 256], QuantParams(8, 1.0, 7))
    net.add(
        kind, ["a", "b"], y_params, multipliers=[2**12, 2**13], shift=12, **({"axis": 0} if kind == "Concat" else {})
    )
    every = np.arange(512).reshape(2, 256) % 256
    actual = agree(net, a=every, b=every[:, ::-1])
    expected = np.clip(2 * (every[:, ::-1] - 7) + 7, 0, 255)
    join = {"Concat": lambda *parts: np.concatenate(parts), "Max": np.maximum, "Min": np.minimum}[kind]
    np.testing.assert_array_equal(actual["y"], join(every, expected))


@EXAMPLES
@given(quant_params(), quant_params(), st.sampled_from([[2, 3], [1], [0, 1, 2, 3], [3]]), st.booleans(), st.data())
def test_means_agree(x_params, y_params, axes, keepdims, data):
    shape, ([multiplier], shift), net = (2, 3, 5, 4), data.draw(effective_scales()), Net()
    count = int(np.prod([shape[axis] for axis in axes]))
    shift = min(shift + count.bit_length(), 46)
    net.feature("x", shape, x_params)
    net.add("Mean", ["x"], y_params, multipliers=[multiplier], shift=shift, axes=axes, keepdims=int(keepdims),
            terms=count, **data.draw(clamps(y_params)))  # fmt: skip
    agree(net, x=random_codes(data.draw(seeds), shape, x_params))


@EXAMPLES
@given(quant_params(), quant_params(), st.booleans(), st.data())
def test_average_pools_agree(x_params, y_params, by_place, data):
    kernel, strides, dilations = (data.draw(st.tuples(*[st.integers(1, n)] * 2)) for n in (4, 2, 2))
    pads = [data.draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    spans = [dilations[i] * (kernel[i] - 1) + 1 for i in range(2)]
    size = [spans[i] + data.draw(st.integers(0, 3)) for i in range(2)]
    out = [(size[i] + pads[i] + pads[2 + i] - spans[i]) // strides[i] + 1 for i in range(2)]
    seed = data.draw(seeds)
    counts = np.random.default_rng(seed).integers(1, np.prod(kernel), out if by_place else (), endpoint=True)
    _, shift = fixed([1.0 / np.min(counts)])
    multipliers = np.rint(2.0**shift / counts).astype(np.int32)
    net = Net()
    net.feature("x", [1, 3, *size], x_params)
    net.add("AveragePool", ["x", multipliers], y_params, kernel_shape=kernel, shift=shift, strides=strides,
            dilations=dilations, pads=pads, **data.draw(clamps(y_params)))  # fmt: skip
    agree(net, x=random_codes(seed, (1, 3, *size), x_params))


@EXAMPLES
@given(quant_params(), quant_params(), st.data())
def test_tables_agree_on_every_code(x_params, y_params, data):
    rng = np.random.default_rng(data.draw(seeds))
    table = rng.integers(0, y_params.qmax, x_params.qmax + 1, endpoint=True, dtype=np.int32)
    shape = data.draw(st.sampled_from([[1, 3, 7], [x_params.qmax + 1], [5, 5], [2, 4, 2, 2]]))
    net = Net()
    net.feature("x", shape, x_params)
    net.add("Table", ["x", table], y_params, **data.draw(clamps(y_params)))
    size = int(np.prod(shape))
    codes = np.arange(size) if size == x_params.qmax + 1 else rng.integers(0, x_params.qmax, size, endpoint=True)
    agree(net, x=codes)


@EXAMPLES
@given(st.booleans(), st.booleans(), st.integers(1, 2), st.sampled_from([[], [7], [3, 5]]), st.data())
def test_tables_of_each_channel_agree(x_per_channel, y_per_channel, pictures, size, data):
    """The first input is quantized and the output dequantized at the channels' own scales, where they have some."""
    x_params, y_params = (
        data.draw(channel_quant_params(3) if own else quant_params()) for own in (x_per_channel, y_per_channel)
    )
    rng, net = np.random.default_rng(data.draw(seeds)), Net()
    net.feature("x", [pictures, 3, *size], x_params)
    table = rng.integers(0, y_params.qmax, (3, x_params.qmax + 1), endpoint=True, dtype=np.int32)
    net.add("Table", ["x", table], y_params, "t", **data.draw(clamps(y_params)))
    net.add("Dequantize", ["t"], None)
    agree(net, x=rng.integers(0, x_params.qmax, (pictures, 3, *size), endpoint=True))


@pytest.mark.slow
@examples(80)
@given(st.sampled_from(RULES), st.integers(1, 3), st.booleans(), st.data())
def test_depthwise_convolutions_of_channels_with_their_own_scales_agree(rule, multiplier, y_per_channel, data):
    channels = 3
    rng, x_params = np.random.default_rng(data.draw(seeds)), data.draw(channel_quant_params(channels))
    y_params = (
        data.draw(channel_quant_params(channels * multiplier) if y_per_channel else quant_params())
        if rule != "float"
        else None
    )
    weight = rng.integers(-127, 127, (channels * multiplier, 1, 3, 2), endpoint=True)
    strides, dilations, pads = [2, 1], [1, 2], [1, 0, 2, 1]
    sum_up = reference.convolution(weight, strides, dilations, pads, channels)
    codes = rng.integers(0, x_params.qmax, (1, channels, 5, 6), endpoint=True)
    acc = reference.sums(sum_up, codes - x_params.zero_point)
    values = data.draw(parameters(rule, acc, 1, channels * multiplier, y_params))
    net = Net()
    net.feature("x", [1, channels, 5, 6], x_params)
    more = data.draw(clamps(y_params)) | {"inner": ["inside"]} if y_params else {}
    net.add("Conv", ["x", weight.astype(np.int8), *values], y_params, rule=rule, strides=strides, dilations=dilations,
            pads=pads, group=channels, **more)  # fmt: skip
    actual = agree(net, x=codes)["y"]
    whole = [v.astype(object) for v in values]
    for index in np.ndindex(acc.shape):
        at = [v[index[1]] for v in whole]
        if rule == "nna":
            code = reference.nna(int(acc[index]), *map(int, at), y_params.bits)
        elif rule == "multiplier_shift":
            code = reference.multiplier_shift(int(acc[index]), *map(int, at), y_params.zero_point, y_params.bits)
        else:
            continue
        assert actual[index] == reference.clamp(code, more.get("low", 0), more.get("high", y_params.qmax))


def test_inside_a_layer_of_channels_each_has_its_own_scale():
    """Sums 3 and 6 of effective scale 1/2 are 1.5 and 3 codes: 0.75 at a scale of 0.5, 0.75 at 0.25."""
    net, x_params = Net(), QuantParams(8, 1.0, 0)
    net.feature("x", [1, 2, 1], x_params)
    y_params = QuantParams(8, 0.5, 10, (0.5, 0.25))
    weight, bias = np.ones((2, 1, 1), np.int8), np.zeros(2, np.int32)
    net.add("Conv", ["x", weight, bias, np.int32([1, 1]), np.int32([1, 1])], y_params, rule="multiplier_shift",
            strides=[1], dilations=[1], pads=[0, 0], group=2, low=10, high=11, inner=["inside"])  # fmt: skip
    actual, codes = inner_of(net, [3, 6])
    assert actual.ravel().tolist() == [0.75, 0.75]
    assert codes.ravel().tolist() == [11, 11]


def test_inside_a_gated_layer_of_channels_each_has_its_own_table():
    net, x_params = Net(), QuantParams(4, 0.5, 6, (0.5, 0.25))
    net.feature("x", [1, 2, 16], x_params)
    inside = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 16)
    table = np.arange(32, dtype=np.int32).reshape(2, 16) * 8
    net.add("Table", ["x", table, inside], QuantParams(8, 0.1, 20), inner=["inside"])
    actual, values = inner_of(net, np.stack([np.arange(16), np.arange(16)[::-1]]))
    assert actual[0, 0].tolist() == inside[0].tolist()
    assert actual[0, 1].tolist() == inside[1, ::-1].tolist()
    assert values[0, 1].tolist() == [8 * (16 + code) for code in range(15, -1, -1)]


@EXAMPLES
@given(quant_params(), quant_params(), effective_scales(), st.booleans(), st.data())
def test_prelus_agree(x_params, y_params, how, by_channel, data):
    ([positive], shift), net, seed = how, Net(), data.draw(seeds)
    rng = np.random.default_rng(seed)
    slopes = rng.integers(-(2**14), 2**14, (3, 1, 1) if by_channel else (), endpoint=True)
    net.feature("x", [2, 3, 4, 5], x_params)
    net.add("PRelu", ["x", slopes.astype(np.int32)], y_params, multipliers=[positive], shift=shift,
            **data.draw(clamps(y_params)))  # fmt: skip
    agree(net, x=random_codes(seed, (2, 3, 4, 5), x_params))


@EXAMPLES
@given(quant_params(), quant_params(), st.data())
def test_linear_resizes_agree(x_params, y_params, data):
    rng = np.random.default_rng(data.draw(seeds))
    height, width, rows_out, columns_out = (data.draw(st.integers(1, 7)) for _ in range(4))
    rows, columns = (
        rng.multinomial(128, rng.dirichlet(np.ones(before)), after).astype(np.int32)
        for before, after in ((height, rows_out), (width, columns_out))
    )
    net = Net()
    net.feature("x", [1, 2, height, width], x_params)
    net.add("Resize", ["x", rows, columns], y_params, shift=14, **data.draw(clamps(y_params)))
    agree(net, x=random_codes(data.draw(seeds), (1, 2, height, width), x_params))


@EXAMPLES
@given(quant_params(), st.lists(st.floats(-7e4, 7e4, width=32), min_size=1, max_size=20))
def test_quantize_agrees_on_any_number(y_params, steps):
    x = np.array([*steps, 0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30], np.float32) * np.float32(y_params.scale)
    net = Net()
    net.feature("x", x.shape, y_params)
    net.add("Dequantize", ["x"], None)
    codes, reals = (
        Runner(net.simulator({}, codes=codes), optimize="safe").run({"x/real": x}) for codes in (True, False)
    )
    expected = np.clip(
        np.rint(x / np.float32(y_params.scale)).astype(np.float64) + y_params.zero_point, 0, y_params.qmax
    )
    assert_same(codes["x"], expected.astype(y_params.dtype))
    for actual in (reals["x"], reals["y"], codes["y"]):
        np.testing.assert_array_equal(actual, real(codes["x"], y_params))


@EXAMPLES
@given(quant_params(), quant_params(), effective_scales(2), seeds)
def test_constants_agree(x_params, y_params, how, seed):
    multipliers, shift = how
    net = Net()
    net.feature("x", [2, 3], x_params)
    net.add("Constant", [random_codes(seed, (3,), x_params).astype(x_params.dtype)], x_params, "c")
    net.add("Add", ["x", "c"], y_params, multipliers=multipliers, shift=shift)
    agree(net, x=random_codes(seed, (2, 3), x_params))


# --- codes on the move ---

MOVES = [
    ("Reshape", [np.array([4, 2, 4])], {}),
    ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ("Flatten", [], {}),
    ("Identity", [], {}),
    ("Slice", [np.array([1]), np.array([3]), np.array([3])], {}),
    ("Squeeze", [np.array([0])], {}),
    ("Unsqueeze", [np.array([1])], {}),
    ("DepthToSpace", [], {"blocksize": 2}),
    ("SpaceToDepth", [], {"blocksize": 2}),
    ("GlobalMaxPool", [], {}),
    ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 1, 0, 0]}),
    ("Pad", [np.array([0, 0, 1, 2, 0, 0, 2, 1])], {"mode": "edge"}),
    ("Resize", ["", np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest"}),
]


@pytest.mark.parametrize(("kind", "more", "attributes"), MOVES)
@pytest.mark.parametrize(
    "qparams", [PLAIN, QuantParams(8, 0.1, 255), QuantParams(12, 0.5, 1000), QuantParams(16, 3.0, 65535)], ids=str
)
def test_moved_codes_agree(kind, more, attributes, qparams):
    net = Net()
    net.feature("x", [1, 4, 2, 4], qparams)
    net.plain(kind, ["x", *more], "y", **attributes)
    agree(net, x=random_codes(1, (1, 4, 2, 4), qparams))


def test_every_output_of_a_split_agrees():
    qparams, net = QuantParams(12, 0.5, 1000), Net()
    net.feature("x", [1, 7, 2], qparams)
    net.plain("Split", ["x", np.array([2, 4, 1])], "a", "b", "c", axis=1)
    net.add("Add", ["b", "b"], PLAIN, "sum", multipliers=[2**9, 2**9], shift=13)
    actual = agree(net, x=np.arange(14) * 300 % 4096)
    assert [actual[name].shape for name in ("a", "b", "c", "sum")] == [(1, 2, 2), (1, 4, 2), (1, 1, 2), (1, 4, 2)]


@pytest.mark.parametrize("qparams", [PLAIN, QuantParams(8, 0.1, 255), QuantParams(12, 0.5, 1000)], ids=str)
@pytest.mark.parametrize("padded", [0, 3, 255])
def test_padding_is_a_code(qparams, padded):
    """And it counts in a pool after it, which pads on its own too, with less than any code."""
    net = Net()
    net.feature("x", [1, 1, 2, 2], qparams)
    net.plain("Pad", ["x", np.array([0, 0, 0, 1, 0, 0, 0, 0]), np.array(padded, qparams.dtype)], "y")
    net.plain("MaxPool", ["y"], "z", kernel_shape=[1, 2], pads=[0, 1, 0, 0])
    codes = np.array([1, 2, 5, 4])
    actual = agree(net, x=codes)
    assert actual["y"].tolist() == [[[[padded, 1, 2], [padded, 5, 4]]]]
    assert actual["z"].tolist() == [[[[padded, max(padded, 1), 2], [padded, max(padded, 5), 5]]]]


def test_a_convolution_after_padding_takes_the_padded_code():
    net, qparams = Net(), QuantParams(8, 1.0, 10)
    net.feature("x", [1, 1, 2], qparams)
    net.plain("Pad", ["x", np.array([0, 0, 1, 0, 0, 0]), np.array(13, np.uint8)], "y")
    net.add("Conv", ["y", np.array([[[1, 10]]], np.int8), np.zeros(1, np.int32), np.ones(1, np.float32)], None, "z",
            rule="float", strides=[1], dilations=[1], pads=[0, 1], group=1)  # fmt: skip
    assert agree(net, x=[11, 12])["z"].tolist() == [[[13.0, 21.0, 2.0]]]


# --- chains ---


@st.composite
def chains(draw):
    """A net of many operators, each on codes of its own."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    net = Net()
    x_params = draw(quant_params())
    net.feature("x", [1, 4, 8, 8], x_params)
    name, channels = "x", 4

    def conv(name, index, group, kernel, stride, x_params):
        y_params = draw(quant_params())
        bits = draw(st.sampled_from([4, 8, 12]))
        weight = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (channels, channels // group, kernel, kernel))
        reach = x_params.qmax * np.abs(weight).sum((1, 2, 3)).max()
        if draw(st.booleans()):
            mult = np.clip(rng.uniform(0.3, 2, channels) * 4 * reach / 2**y_params.bits, 1, 65535)
            values, rule = [(mult * rng.uniform(-40, 40)).astype(np.int32), mult.astype(np.int32)], "nna"
        else:
            effective_scale = rng.uniform(0.5, 3, channels) * 2**y_params.bits / reach
            bias = (rng.uniform(-0.2, 0.2, channels) * reach).astype(np.int32)
            values, rule = [bias, *rules.multiplier_shift_parameters(effective_scale)], "multiplier_shift"
        weight = weight.astype(np.int8 if bits <= 8 else np.int16)
        net.add("Conv", [name, weight, *values], y_params, f"conv{index}", rule=rule, strides=[stride] * 2,
                dilations=[1, 1], pads=[kernel // 2] * 4, group=group, **draw(clamps(y_params)))  # fmt: skip
        return f"conv{index}", y_params

    name, qparams = conv(name, 0, 1, 3, 1, x_params)
    table_params = draw(quant_params())
    table = rng.integers(0, table_params.qmax, qparams.qmax + 1, endpoint=True, dtype=np.int32)
    net.add("Table", [name, table], table_params, "table")
    name, deep = conv("table", 1, 4, 7, 1, table_params)
    y_params = draw(quant_params())
    multipliers, shift = fixed([2.0 ** (y_params.bits - m.bits - 1) for m in (deep, table_params)])
    net.add("Add", [name, "table"], y_params, "sum", multipliers=multipliers, shift=shift)
    net.plain("MaxPool", ["sum"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    rows = rng.multinomial(128, np.ones(4) / 4, 8).astype(np.int32)
    net.add("Resize", ["pool", rows, rows], y_params, "large", shift=14)
    net.plain("Split", ["large", np.array([1, 3])], "one", "three", axis=1)
    joined = draw(quant_params())
    multipliers, shift = fixed([2.0 ** (joined.bits - y_params.bits)] * 2)
    net.add("Concat", ["three", "one"], joined, "joined", multipliers=multipliers, shift=shift, axis=1)
    square = draw(quant_params())
    net.add("Mul", ["joined", "sum"], square, "product", multipliers=[2**13],
            shift=min(13 + joined.bits + y_params.bits - square.bits, 46))  # fmt: skip
    net.add("Mean", ["product"], square, "mean", multipliers=[2**13], shift=19, axes=[2, 3], keepdims=1, terms=64)
    net.plain("Flatten", ["mean"], "flat")
    net.add("MatMul", ["flat", rng.integers(-128, 128, (4, 3)).astype(np.int8), rng.integers(-999, 999, 3, np.int32),
                       np.full(3, 0.01, np.float32)], None, "logits", rule="float")  # fmt: skip
    return net, random_codes(seed, (1, 4, 8, 8), x_params)


@pytest.mark.slow
@examples(25)
@given(chains())
def test_chains_of_operators_agree(case):
    net, codes = case
    agree(net, x=codes)


def test_float_operators_between_integer_ones_run_as_they_are():
    net = Net()
    net.feature("x", [1, 6], QuantParams(8, 0.5, 10))
    net.add("Dequantize", ["x"], None, "r")
    net.plain("Abs", ["r"], "s")
    net.add("Quantize", ["s"], QuantParams(8, 0.25, 0), "q")
    net.plain("Reshape", ["q", np.array([2, 3])], "t")
    actual = agree(net, x=[0, 5, 10, 12, 200, 255])
    assert actual["t"].tolist() == [[20, 10, 0], [4, 255, 255]]


def divided_by_zero():
    """Codes of -1 / 0, 0 / 0, 1 / 0 and 1 / 2, which a layer in float computes."""
    net = Net()
    net.feature("x", [1, 4], QuantParams(8, 1.0, 10))
    net.add("Dequantize", ["x"], None, "r")
    net.plain("Div", ["r", np.float32([[0, 0, 0, 2]])], "s")
    net.add("Quantize", ["s"], QuantParams(8, 0.25, 7), "q")
    return net, [9, 10, 11, 11]


def test_infinite_values_get_the_last_codes_and_what_is_no_number_that_of_zero():
    net, codes = divided_by_zero()
    assert agree(net, x=codes)["q"].tolist() == [[0, 7, 255, 9]]


@pytest.fixture(scope="module")
def wide():
    """A net with every way to sum up, large enough for vectors; its codes and what the reference computes."""
    rng = np.random.default_rng(0)
    net, y_params = Net(), QuantParams(8, 0.5, 100)
    net.feature("x", [1, 32, 40, 40], QuantParams(12, 0.5, 2048))

    def conv(name, weight, group, reach, **more):
        mult = np.full(32, 4 * reach // 256, np.int32)
        values = [rng.integers(-(10**6), 10**6, 32, np.int32), mult]
        pads = [weight.shape[-1] // 2] * 4
        net.add("Conv", ["x", weight, *values], y_params, name, rule="nna", strides=[1, 1], dilations=[1, 1], pads=pads,
                group=group, **more)  # fmt: skip

    conv("dense", rng.integers(-128, 128, (32, 32, 3, 3)).astype(np.int8), 1, 2**24)
    conv("depthwise", rng.integers(-128, 128, (32, 1, 7, 7)).astype(np.int8), 32, 2**22)
    conv("narrow", rng.integers(-2, 2, (32, 32, 1, 1)).astype(np.int8), 1, 2**16)
    net.add("Table", ["narrow", rng.integers(0, 255, 256, np.int32)], y_params, "table")
    net.add("Add", ["dense", "table"], y_params, "sum", multipliers=[5000, 8000], shift=14)
    net.add("Mean", ["sum"], y_params, "mean", multipliers=[2**13], shift=23, axes=[2, 3], keepdims=1, terms=1600)
    net.plain("Reshape", ["sum", np.array([32, 40, 40])], "a")
    net.plain("Transpose", ["a"], "b", perm=[0, 2, 1])
    net.add("MatMulFeatures", ["a", "b"], QuantParams(16, 1.0, 3), "product", multipliers=[2**13], shift=19, terms=40)
    codes = rng.integers(0, 4096, (1, 32, 40, 40))
    return net, codes, net.reference(x=codes)


@pytest.mark.parametrize("optimize", ["safe", "none"])
def test_every_way_to_sum_up_is_the_references(wide, optimize):
    net, codes, expected = wide
    actual = Runner(net.simulator(expected), optimize=optimize).run(net.feeds({"x": codes}))
    for name in net.tensors:
        assert_same(actual[name], expected[name])


# --- what is returned ---


def test_codes_are_stored_in_the_smallest_type_and_values_are_float32():
    net = Net()
    for bits in (4, 8, 9, 16):
        net.feature(f"x{bits}", [1, 2], QuantParams(bits, 0.3, 3))
    feeds = net.feeds({f"x{bits}": [0, 2**bits - 1] for bits in (4, 8, 9, 16)})
    codes = Runner(net.simulator({}), optimize="safe").run(feeds)
    values = Runner(net.simulator({}, codes=False), optimize="safe").run(feeds)
    assert [codes[f"x{bits}"].dtype for bits in (4, 8, 9, 16)] == [np.uint8, np.uint8, np.uint16, np.uint16]
    assert codes["x16"].tolist() == [[0, 65535]]
    for bits in (4, 8, 9, 16):
        step = np.float32(0.3)
        expected = [float(np.float32(-3) * step), float(np.float32(2**bits - 4) * step)]
        assert values[f"x{bits}"].dtype == np.float32
        assert values[f"x{bits}"].tolist() == [expected]


def test_tensors_come_in_the_order_that_they_are_asked_for():
    net = Net()
    net.feature("x", [1, 4], PLAIN)
    net.plain("Flatten", ["x"], "f")
    net.add("Dequantize", ["f"], None, "r")
    actual = Runner(net.simulator({}, ["r", "x"]), optimize="safe").run(net.feeds({"x": np.arange(4)}))
    assert list(actual) == ["r", "x"]
    assert (actual["r"].dtype, actual["x"].dtype) == (np.float32, np.uint8)


def test_the_simulator_is_standard_onnx_with_the_same_inputs(wide):
    net, _, values = wide
    model = net.simulator(values)
    assert all(onnx.defs.has(node.op_type) for node in model.graph.node)
    assert {opset.domain for opset in model.opset_import} == {node.domain for node in model.graph.node} == {""}
    assert [info.name for info in model.graph.input] == ["x/real"]
    assert [info.name for info in model.graph.output] == net.tensors


# --- tensors inside a fused layer ---


def inner_of(net, x, codes=True):
    """The inner tensor `inside`, and the codes of the layer, by the simulator; the layer agrees with the reference."""
    values = agree(net, x=x)
    simulator = net.simulator(values, ["inside", "y"], codes)
    actual = Runner(simulator, optimize="safe").run(net.feeds({"x": x}))
    assert actual["inside"].dtype == np.float32
    return actual["inside"], values["y"]


@pytest.mark.slow
@examples(40)
@given(weighted, st.sampled_from(RULES[:2]), st.data())
def test_inside_a_weighted_layer_is_the_sum_before_rounding_and_clamping(layer, rule, data):
    y_params = data.draw(quant_params())
    codes = data.draw(inputs(layer))
    acc = layer.sums(codes)
    bias, *effective_scale = data.draw(parameters(rule, acc, layer.channel_axis, layer.channels, y_params))
    low = data.draw(st.integers(0, y_params.qmax))
    net = layer.net([bias, *effective_scale], rule, y_params, {"low": low, "high": y_params.qmax, "inner": ["inside"]})
    actual, _ = inner_of(net, codes)
    for index in np.ndindex(acc.shape):
        channel = index[layer.channel_axis]
        total = int(acc[index]) + Fraction(int(bias[channel]))
        if rule == "nna":  # bias holds the half that turns the floor into rounding
            total = Fraction(4 * int(acc[index]) + int(bias[channel]), int(effective_scale[0][channel])) - Fraction(
                1, 2
            )
            steps = total + 2 ** (y_params.bits - 1) - y_params.zero_point
        else:
            steps = total * int(effective_scale[0][channel]) / 2 ** int(effective_scale[1][channel])
        # one rounding each of the quotient (with its half) and of the product with the scale
        slack = float(abs(steps) + 1) * 2.0**-22 * y_params.scale
        assert abs(float(actual[index]) - float(steps) * y_params.scale) <= slack


def test_inside_a_fused_sum_is_the_sum_before_the_clamp():
    net, x_params, y_params = Net(), QuantParams(8, 0.5, 100), QuantParams(8, 0.25, 50)
    net.feature("x", [1, 4], x_params)
    net.add("Add", ["x", "x"], y_params, multipliers=[3, 1], shift=3, low=50, inner=["inside"])
    actual, codes = inner_of(net, [0, 99, 101, 255])
    assert codes.tolist() == [[50, 50, 51, 128]]
    assert actual.tolist() == [[-12.5, -0.125, 0.125, 19.375]]


@pytest.mark.parametrize("codes", [True, False])
def test_inside_a_gated_layer_is_the_gates_own_table(codes):
    net, x_params = Net(), QuantParams(4, 0.5, 6)
    net.feature("x", [2, 8], x_params)
    inside = np.linspace(0, 1, 16, dtype=np.float32)
    net.add("Table", ["x", np.arange(16, dtype=np.int32) * 9, inside], QuantParams(8, 0.1, 20), inner=["inside"])
    actual, values = inner_of(net, np.arange(16)[::-1], codes=codes)
    assert actual.ravel().tolist() == inside[::-1].tolist()
    assert values.ravel().tolist() == [9 * code for code in range(15, -1, -1)]


def test_inner_tensors_that_nobody_asks_for_cost_nothing():
    net, x_params = Net(), QuantParams(8, 0.5, 100)
    net.feature("x", [1, 4], x_params)
    net.add("Add", ["x", "x"], x_params, multipliers=[1, 1], shift=1, inner=["inside"])
    asked, plain = (net.simulator({}, tensors) for tensors in (["inside", "y"], ["y"]))
    assert len(asked.graph.node) - len(plain.graph.node) == 3


def test_halves_at_ends_of_a_fixed_point_sum_go_up():
    """The plainest boundary: -2.5, -1.5, -0.5, 0.5, 1.5 of a code."""
    net = Net()
    net.feature("x", [5], QuantParams(8, 1.0, 10))
    net.add("Add", ["x", "x"], QuantParams(8, 1.0, 100), multipliers=[1, 0], shift=1)
    assert agree(net, x=[5, 7, 9, 11, 13])["y"].tolist() == [98, 99, 100, 101, 102]
    assert reference.halves_up(-5, 1) == -2


def test_multipliers_of_31_bits_agree():
    """What the rule nna_open chooses: effective scales 0.71 and 1.3 of sums, 0.9 / 20 of a mean, 0.004 of a product."""
    net, x_params, y_params = Net(), QuantParams(8, 1.0, 3), QuantParams(8, 1.0, 77)
    rng = np.random.default_rng(0)
    net.feature("x", [1, 6, 4, 5], x_params)
    multipliers, shift = [round(0.71 * 2**30), round(1.3 * 2**30)], 30
    net.add("Add", ["x", "x"], y_params, "sum", multipliers=multipliers, shift=shift)
    net.add("Concat", ["x", "x"], y_params, "joined", multipliers=multipliers, shift=shift, axis=1)
    net.add(
        "Mean", ["x"], y_params, "mean", multipliers=[round(0.045 * 2**35)], shift=35, axes=[1, 2], keepdims=0, terms=24
    )
    weight, bias = rng.integers(-127, 128, (5, 9)).astype(np.int8), rng.integers(-99, 99, 9).astype(np.int32)
    factors = np.full(9, round(0.004 * 2**38), np.int32)
    parameters = [weight, bias, factors, np.full(9, 38, np.int32)]
    net.add("MatMul", ["mean", *parameters], y_params, rule="multiplier_shift")
    agree(net, x=rng.integers(0, 256, (1, 6, 4, 5)))
