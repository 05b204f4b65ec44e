"""Removing Transposes that undo each other."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stages.core.graph.session import Runner
from stages.export.layout.transposes import without_transposes
from tests.export.graphs import graph_model, node

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]
SHAPE = (1, 4, 5, 6)  # NCHW
RNG = np.random.default_rng(0)


def last(source, target):
    return node("Transpose", [source], [target], f"{target}/last", perm=LAST)


def first(source, target):
    return node("Transpose", [source], [target], f"{target}/first", perm=FIRST)


def checked(nodes, constants=None, outputs=("y",), inputs=None, opset=13):
    """Rewrite; the outputs have to be the same numbers. Gives the operators that are left."""
    source = graph_model(nodes, inputs or {"x": SHAPE}, outputs, constants, opset)
    changed = onnx.ModelProto()
    changed.CopyFrom(source)
    without_transposes(changed)
    inferred = onnx.shape_inference.infer_shapes(changed, strict_mode=True)
    onnx.checker.check_model(inferred)
    feeds = {
        info.name: RNG.normal(size=[dim.dim_value for dim in info.type.tensor_type.shape.dim]).astype(np.float32)
        for info in source.graph.input
    }
    expected, actual = (Runner(model).run(feeds) for model in (source, changed))
    assert list(actual) == list(outputs)
    for name in outputs:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-6, atol=1e-6)
    assert {tensor.name for tensor in changed.graph.initializer} <= {
        name for entry in changed.graph.node for name in entry.input
    }
    return [entry.op_type for entry in changed.graph.node]


MIDDLES = {
    "nothing": ([], {}),
    "relu": ([node("Relu", ["a"], ["b"], "m")], {}),
    "clip": ([node("Clip", ["a", "low", "high"], ["b"], "m")], {"low": np.float32(0), "high": np.float32(1)}),
    "by channel": ([node("Mul", ["a", "k"], ["b"], "m")], {"k": RNG.normal(size=4)}),
    "by channel, other way round": ([node("Sub", ["k", "a"], ["b"], "m")], {"k": RNG.normal(size=(1, 1, 4))}),
    "one number": ([node("Add", ["a", "k"], ["b"], "m")], {"k": np.float32(2)}),
    "prelu": ([node("PRelu", ["a", "k"], ["b"], "m")], {"k": RNG.normal(size=(1, 1, 4))}),
    "softmax": ([node("Softmax", ["a"], ["b"], "m", axis=-1)], {}),
    "pad": ([node("Pad", ["a", "pads"], ["b"], "m")], {"pads": np.array([0, 1, 2, 0, 0, 3, 0, 0])}),
    "pad with a value": (
        [node("Pad", ["a", "pads", "k"], ["b"], "m")], {"pads": np.array([0, 1, 2, 0, 0, 3, 0, 1]), "k": np.float32(7)},
    ),
    "mean": ([node("ReduceMean", ["a"], ["b"], "m", axes=[1, -2], keepdims=1)], {}),
    "itself": ([node("Add", ["a", "a"], ["b"], "m")], {}),
    "gate": ([node("Sigmoid", ["a"], ["g"], "s"), node("Mul", ["a", "g"], ["b"], "m")], {}),
    "concat": ([node("Neg", ["a"], ["n"], "n"), node("Concat", ["a", "n"], ["b"], "m", axis=3)], {}),
    "concat of a constant": ([node("Concat", ["a", "k"], ["b"], "m", axis=1)], {"k": RNG.normal(size=(1, 2, 6, 4))}),
    "split": ([node("Split", ["a"], ["b", "c"], "m", axis=3), node("Neg", ["c"], ["unused"], "n")], {}),
}  # fmt: skip


@pytest.mark.parametrize("middle", MIDDLES)
def test_a_part_in_the_other_layout_is_computed_in_this_one(middle):
    nodes, constants = MIDDLES[middle]
    end = "b" if nodes else "a"
    kinds = checked([node("Abs", ["x"], ["x2"], "abs"), last("x2", "a"), *nodes, first(end, "y")], constants)
    assert "Transpose" not in kinds
    if nodes:
        assert kinds == ["Abs", *(entry.op_type for entry in nodes)]


def test_the_two_paths_of_a_sum_both_lose_their_transpose():
    nodes = [last("x", "a"), last("z", "b"), node("Add", ["a", "b"], ["c"], "sum"), first("c", "y")]
    assert checked(nodes, inputs={"x": SHAPE, "z": SHAPE}) == ["Add"]


def test_a_sum_of_both_is_moved_where_that_leaves_one_transpose_of_two():
    nodes = [last("x", "a"), last("z", "b"), node("Add", ["a", "b"], ["y"], "sum")]
    assert checked(nodes, inputs={"x": SHAPE, "z": SHAPE}) == ["Add", "Transpose"]


def test_a_sum_that_is_changed_twice_keeps_both_constants_apart():
    """NCHW inside NHWC inside NCHW: the constant of the innermost sum is moved by both."""
    turn, back = [0, 1, 3, 2], [0, 1, 3, 2]
    nodes = [
        last("x", "a"),
        node("Transpose", ["a"], ["t"], "turn", perm=turn),
        node("Add", ["t", "k"], ["s"], "sum"),
        node("Transpose", ["s"], ["u"], "back", perm=back),
        first("u", "y"),
    ]
    assert checked(nodes, {"k": RNG.normal(size=(5, 4, 6))}) == ["Add"]


def test_a_transpose_that_undoes_itself_around_a_sum_stays_right():
    """The inner Transpose ends the part and leads into it at once."""
    swap = [0, 1, 3, 2]
    nodes = [
        node("Transpose", ["x"], ["a"], "one", perm=swap),
        node("Relu", ["a"], ["r"], "relu"),
        node("Transpose", ["r"], ["b"], "two", perm=swap),
        node("Add", ["r", "b"], ["y"], "sum"),
    ]
    checked(nodes, inputs={"x": (1, 2, 5, 5)})


def test_an_output_inside_keeps_its_layout():
    nodes = [last("x", "a"), node("Relu", ["a"], ["b"], "relu"), first("b", "t"), node("Neg", ["t"], ["y"], "neg")]
    assert checked(nodes, outputs=("y", "b")) == ["Relu", "Transpose", "Neg"]


def test_an_operand_in_the_other_layout_gets_one_transpose_for_two():
    nodes = [last("x", "a"), node("Add", ["a", "z"], ["b"], "sum"), first("b", "y")]
    assert checked(nodes, inputs={"x": SHAPE, "z": [1, 5, 6, 4]}) == ["Transpose", "Add"]


@pytest.mark.parametrize(
    "nodes",
    [
        [last("x", "a"), node("Relu", ["a"], ["y"], "relu")],
        [last("x", "a"), node("Reshape", ["a", "to"], ["y"], "flat")],
        [last("x", "a"), node("Transpose", ["a"], ["y"], "other", perm=[0, 2, 1, 3])],
        [last("x", "a"), node("MatMul", ["a", "w"], ["b"], "fc"), first("b", "y")],
    ],
    ids=["moves nothing", "flattened", "not undone", "needs its layout"],
)
def test_transposes_that_are_needed_stay(nodes):
    constants = {"to": np.array([1, -1]), "w": RNG.normal(size=(4, 3))}
    used = {name for entry in nodes for name in entry.input}
    assert checked(nodes, {name: value for name, value in constants.items() if name in used}) == [
        entry.op_type for entry in nodes
    ]


@pytest.mark.parametrize("opset", [13, 18])
def test_a_mean_over_pixels_needs_no_transpose(opset):
    axes = {"axes": [1, 2]} if opset < 18 else {}
    mean = node("ReduceMean", ["a"] if opset < 18 else ["a", "axes"], ["y"], "mean", keepdims=0, **axes)
    assert checked([last("x", "a"), mean], {"axes": np.array([1, 2])}, opset=opset) == ["ReduceMean"]


def test_a_mean_that_leaves_pixels_and_channels_in_another_order_needs_it():
    mean = node("ReduceMean", ["a"], ["y"], "mean", keepdims=0, axes=[1])
    assert checked([last("x", "a"), mean]) == ["Transpose", "ReduceMean"]


@pytest.mark.parametrize("kind", ["Flatten", "Reshape", "Squeeze"])
def test_a_transpose_of_single_pixels_is_none(kind):
    inputs = {"Flatten": ["a"], "Reshape": ["a", "to"], "Squeeze": ["a", "ones"]}[kind]
    nodes = [last("x", "a"), node(kind, inputs, ["y"], "flat")]
    constants = {"to": np.array([1, -1]), "ones": np.array([1, 2])}
    assert checked(nodes, constants, inputs={"x": [1, 4, 1, 1]}) == ["Reshape"]


@pytest.mark.parametrize(
    ("flat", "product"),
    [
        (node("Reshape", ["a", "to"], ["f"], "flat"), node("MatMul", ["f", "w"], ["y"], "fc")),
        (node("Flatten", ["a"], ["f"], "flat"), node("Gemm", ["f", "w", "b"], ["y"], "fc", alpha=0.5)),
        (node("Flatten", ["a"], ["f"], "flat"), node("Gemm", ["f", "wt"], ["y"], "fc", transB=1)),
    ],
    ids=["MatMul", "Gemm", "Gemm of a transposed weight"],
)
def test_a_flattened_part_has_its_order_in_the_weight_behind_it(flat, product):
    weight = RNG.normal(size=(120, 3))
    constants = {"to": np.array([1, -1]), "w": weight, "wt": weight.T, "b": RNG.normal(size=3)}
    used = {*flat.input, *product.input}
    nodes = [node("Abs", ["x"], ["p"], "abs"), last("p", "a"), flat, product]
    found = checked(nodes, {name: value for name, value in constants.items() if name in used})
    assert found == ["Abs", "Reshape", product.op_type]


def test_a_flattened_part_that_is_also_an_output_stays():
    nodes = [last("x", "a"), node("Flatten", ["a"], ["f"], "flat"), node("MatMul", ["f", "w"], ["y"], "fc")]
    found = checked(nodes, {"w": RNG.normal(size=(120, 3))}, outputs=("y", "f"))
    assert found == ["Transpose", "Flatten", "MatMul"]


def test_what_the_body_of_an_if_reads_keeps_its_layout():
    body = helper.make_graph(
        [node("Neg", ["b"], ["r"], "inner")], "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    )
    nodes = [
        last("x", "a"),
        node("Relu", ["a"], ["b"], "relu"),
        first("b", "y"),
        node("If", ["yes"], ["w"], "if", then_branch=body, else_branch=body),
    ]
    source = graph_model(nodes, {"x": SHAPE}, ["y", "w"])
    source.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    changed = onnx.ModelProto()
    changed.CopyFrom(source)
    without_transposes(changed)
    x = RNG.normal(size=SHAPE).astype(np.float32)
    for expected, actual in zip(*(Runner(model).run({"x": x}).values() for model in (source, changed)), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_network_without_transposes_is_not_changed():
    source = graph_model([node("Relu", ["x"], ["y"], "relu")], {"x": SHAPE}, ["y"])
    before = source.SerializeToString()
    without_transposes(source)
    assert source.SerializeToString() == before
