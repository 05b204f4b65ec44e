import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.quantize.equalize.channel_ties import Channels, _least_members
from tests.export.graphs import graph_model, node

RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.normal(0, 1, (4, 3, 1, 1)), "v": RNG.normal(0, 1, (2, 4, 1, 1))}
FIRST = node("Conv", ["x", "w"], ["a"], "first")
LAST = node("Conv", ["z", "v"], ["y"], "last")


def channels_of(nodes, constants=None, outputs=("y",), shape=(1, 3, 4, 4), opset=17):
    model = graph_model(nodes, {"x": shape}, outputs, WEIGHTS | (constants or {}), opset)
    return Channels(Graph(onnx.shape_inference.infer_shapes(model, strict_mode=True)))


def between(*nodes, constants=None, outputs=("y",), opset=17):
    """A convolution to `a` [1, 4, 4, 4], some nodes from `a` to `z`, a convolution of `z`."""
    return channels_of([FIRST, *nodes, LAST], constants, outputs, opset=opset)


def free(channels, name):
    return ~channels.fixed[channels.of(name)]


def test_inputs_and_outputs_are_fixed_and_what_weighted_layers_make_and_take_is_free():
    nodes = [node("Conv", ["x", "w"], ["a"], "first"), node("Conv", ["a", "v"], ["y"], "last")]
    channels = channels_of(nodes)
    assert [free(channels, name).any() for name in ("x", "a", "y")] == [False, True, False]
    assert len(np.unique(channels.of("a"))) == 4


TIES = [
    [node("Relu", ["a"], ["z"])],
    [node("PRelu", ["a", "slope"], ["z"])],
    [node("LeakyRelu", ["a"], ["z"], alpha=0.1)],
    [node("MaxPool", ["a"], ["z"], kernel_shape=[2, 2])],
    [node("AveragePool", ["a"], ["z"], kernel_shape=[2, 2], pads=[1, 1, 1, 1])],
    [node("GlobalAveragePool", ["a"], ["z"])],
    [node("GlobalMaxPool", ["a"], ["z"])],
    [node("ReduceMean", ["a"], ["z"], axes=[2, -1])],
    [node("Clip", ["a", "zero"], ["z"])],
    [node("Clip", ["a", "zero", "huge"], ["z"])],
    [node("Identity", ["a"], ["z"])],
    [node("Dropout", ["a"], ["z"])],
    [node("Pad", ["a", "border"], ["z"])],
    [node("Pad", ["a", "border", "two"], ["z"], mode="edge")],
    [node("Resize", ["a", "", "twice"], ["z"], mode="linear")],
    [node("Slice", ["a", "one", "three", "two_"], ["z"])],
    [node("Add", ["a", "per_channel"], ["z"])],
    [node("Sub", ["two", "a"], ["z"])],
    [node("Max", ["a", "two"], ["z"])],
    [node("Mul", ["a", "per_channel"], ["z"])],
    [node("Div", ["a", "per_channel"], ["z"])],
    [node("Transpose", ["a"], ["z"], perm=[0, 1, 3, 2])],
    [node("Relu", ["a"], ["b"]), node("Add", ["a", "b"], ["z"])],
    [node("GlobalAveragePool", ["a"], ["b"]), node("Sub", ["a", "b"], ["z"])],
]
CONSTANTS = {
    "slope": np.full((4, 1, 1), 0.1),
    "zero": 0.0,
    "huge": np.finfo(np.float32).max,
    "six": 6.0,
    "border": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "deep": np.array([0, 0, 0, 0, 0, 1, 0, 0]),
    "two": 2.0,
    "twice": np.float32([1, 1, 2, 2]),
    "one": np.array([1]),
    "two_": np.array([2]),
    "three": np.array([3]),
    "per_channel": np.arange(1.0, 5.0).reshape(1, 4, 1, 1),
}


@pytest.mark.parametrize("nodes", TIES, ids=lambda nodes: "-".join(each.op_type for each in nodes))
def test_operators_that_pass_a_factor_on(nodes):
    channels = between(*nodes, constants=CONSTANTS)
    assert free(channels, "a").all()
    np.testing.assert_array_equal(channels.of("a"), channels.of("z"))
    assert channels.groups["a"] == channels.groups["z"] != channels.groups["y"]


REFUSALS = {
    "Relu6": [node("Clip", ["a", "zero", "six"], ["z"])],
    "Sigmoid": [node("Sigmoid", ["a"], ["z"])],
    "SiLU": [node("Sigmoid", ["a"], ["b"]), node("Mul", ["a", "b"], ["z"])],
    "HardSwish": [node("HardSwish", ["a"], ["z"])],
    "padded with 2": [node("Pad", ["a", "border", "two"], ["z"])],
    "2 below": [node("Div", ["two", "a"], ["z"])],
    "mean over channels": [node("ReduceMean", ["a"], ["b"], axes=[1]), node("Sub", ["a", "b"], ["z"])],
    "channels moved": [node("Transpose", ["a"], ["z"], perm=[0, 2, 1, 3])],
    "a shared consumer": [node("Identity", ["a"], ["z"]), node("Exp", ["a"], ["e"]), node("Conv", ["e", "v"], ["q"])],
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_any_other_operator_touches_is_fixed(reason):
    channels = between(*REFUSALS[reason], constants=CONSTANTS)
    assert not free(channels, "a").any()


def test_a_tensor_that_the_network_returns_is_fixed():
    channels = between(node("Relu", ["a"], ["z"]), outputs=("y", "z"))
    assert not free(channels, "a").any()


def test_a_tensor_that_a_body_captures_is_fixed():
    body = onnx.helper.make_graph(
        [node("Neg", ["z"], ["inside"])], "body", [], [onnx.helper.make_tensor_value_info("inside", 1, None)]
    )
    branch = node("If", ["condition"], ["chosen"], then_branch=body, else_branch=body)
    model = graph_model(
        [FIRST, node("Relu", ["a"], ["z"]), LAST, branch], {"x": [1, 3, 4, 4]}, ["y", "chosen"], WEIGHTS
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "condition"))
    channels = Channels(Graph(onnx.shape_inference.infer_shapes(model)))
    assert not free(channels, "a").any()


def test_a_computed_weight_or_bias_fixes():
    for inputs in (["z", "b"], ["z", "v", "b"]):
        bias = node("ReduceMean", ["x"], ["b"], axes=[0, 2, 3], keepdims=0) if len(inputs) == 3 else None
        nodes = [FIRST, node("Relu", ["a"], ["z"])]
        nodes += [bias] if bias else [node("Reshape", ["x", "shape"], ["b"])]
        nodes += [node("Conv", inputs, ["y"], "last")]
        constants = {"shape": np.array([12, 4, 1, 1]), "v": RNG.normal(0, 1, (3, 4, 1, 1))}
        assert not free(channels_of(nodes, constants), "a").any()


def test_a_sum_over_broadcast_channels_is_fixed():
    constants = {"narrow": RNG.normal(0, 1, (1, 3, 1, 1))}
    nodes = [node("Conv", ["x", "narrow"], ["n"], "narrow"), node("Add", ["a", "n"], ["z"])]
    channels = between(*nodes, constants=constants)
    assert not free(channels, "a").any()
    assert not free(channels, "n").any()


def test_depthwise_layers_end_a_group_on_both_sides():
    depthwise = node("Conv", ["r", "d"], ["z"], "depthwise", group=4)
    channels = between(node("Relu", ["a"], ["r"]), depthwise, constants={"d": np.ones((4, 1, 1, 1))})
    assert free(channels, "a").all()
    assert free(channels, "z").all()
    assert channels.groups["a"] == channels.groups["r"] != channels.groups["z"]
    assert not set(channels.of("a")) & set(channels.of("z"))


def test_concat_and_split_tie_channel_by_channel():
    """z is a's two channels and b's two; s its first, t the rest, u the last and the second."""
    constants = {"w2": RNG.normal(0, 1, (2, 3, 1, 1)), "v2": RNG.normal(0, 1, (2, 1, 1, 1)), "sizes": np.array([1, 3])}
    nodes = [
        node("Conv", ["x", "w2"], ["a"], "first"),
        node("Conv", ["x", "w2"], ["b"], "second"),
        node("Concat", ["a", "b"], ["z"], "join", axis=1),
        node("Split", ["z", "sizes"], ["s", "t"], "cut", axis=-3),
        node("Conv", ["s", "v2"], ["p"], "third"),
        node("Slice", ["z", "from_", "to", "axis", "step"], ["u"], "backwards"),
    ]
    constants |= {"from_": np.array([-1]), "to": np.array([-9]), "axis": np.array([1]), "step": np.array([-2])}
    channels = channels_of(nodes, constants, ["p"])
    a, b, z = (channels.of(name) for name in "abz")
    assert z.tolist() == [*a, *b]
    assert len(set(z)) == 4
    assert channels.of("s").tolist() == [a[0]]
    assert channels.of("t").tolist() == [a[1], *b]
    assert channels.of("u").tolist() == [b[1], a[1]]
    assert len({channels.groups[name] for name in "abzstu"}) == 1


def test_a_flattened_picture_has_a_column_a_pixel():
    """[1, 4, 2, 2] flattened: columns 0-3 belong to channel 0, and so on."""
    constants = {"m": RNG.normal(0, 1, (16, 2)), "shape": np.array([1, 8, 2])}
    nodes = [
        node("Conv", ["x", "w"], ["a"], "first"),
        node("Flatten", ["a"], ["f"]),
        node("MatMul", ["f", "m"], ["y"], "product"),
        node("Reshape", ["a", "shape"], ["g"]),
    ]
    channels = channels_of(nodes, constants, shape=(1, 3, 2, 2))
    a = channels.of("a")
    assert channels.of("f").tolist() == [a[0]] * 4 + [a[1]] * 4 + [a[2]] * 4 + [a[3]] * 4
    assert channels.of("g").tolist() == [a[0]] * 2 + [a[1]] * 2 + [a[2]] * 2 + [a[3]] * 2
    assert free(channels, "a").all()


def test_channels_that_reshaping_merges_share_a_factor():
    channels = between(node("Reshape", ["a", "shape"], ["b"]), node("Reshape", ["b", "back"], ["z"]), constants={
        "shape": np.array([1, 2, 8, 4]), "back": np.array([1, 4, 4, 4])
    })  # fmt: skip
    a = channels.of("a")
    assert (a[0], a[2]) == (a[1], a[3])
    assert a[0] != a[2]


def test_a_product_over_another_axis_than_the_channels_is_fixed():
    constants = {"m": RNG.normal(0, 1, (4, 5))}
    nodes = [FIRST, node("Relu", ["a"], ["r"]), node("MatMul", ["r", "m"], ["y"])]
    assert not free(channels_of(nodes, constants), "a").any()


def test_a_transposed_input_of_gemm_is_fixed():
    constants = {"m": RNG.normal(0, 1, (1, 5))}
    nodes = [FIRST, node("GlobalMaxPool", ["a"], ["p"]), node("Flatten", ["p"], ["f"])]
    nodes += [node("Gemm", ["f", "m"], ["y"], transA=1)]
    assert not free(channels_of(nodes, constants), "a").any()


def joined_by_hand(count, pairs):
    """The least number that each reaches, by walking from every number along the pairs."""
    neighbours = {number: {number} for number in range(count)}
    for a, b in ((int(a), int(b)) for side, other in pairs for a, b in zip(side, other, strict=True)):
        neighbours[a].add(b)
        neighbours[b].add(a)
    least = []
    for start in range(count):
        seen, pending = set(), [start]
        while pending:
            number = pending.pop()
            if number not in seen:
                seen.add(number)
                pending += neighbours[number]
        least.append(min(seen))
    return least


@pytest.mark.parametrize("seed", range(40))
def test_joined_numbers_are_named_by_the_least_of_them(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    sizes = rng.integers(0, count, int(rng.integers(0, 4)))
    pairs = [tuple(rng.integers(0, count, (2, size))) for size in sizes]
    actual = _least_members(count, pairs)
    assert actual.dtype == np.int64
    assert actual.tolist() == joined_by_hand(count, pairs)


def test_numbers_in_no_pair_name_themselves():
    assert _least_members(0, []).tolist() == []
    assert _least_members(3, []).tolist() == [0, 1, 2]
