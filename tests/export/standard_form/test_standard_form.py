import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stages.core.base.errors import UserError
from stages.export.standard_form.standard_form import newest_versions, standard_form
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import tiny_classifier


def ops(model):
    return [entry.op_type for entry in model.graph.node]


def test_a_network_of_today_stays_as_it_is():
    assert standard_form(tiny_classifier(), "net.onnx") == tiny_classifier()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"value": numpy_helper.from_array(np.float32([3.0, 4.0]))}, [3.0, 4.0]),
        ({"value_float": 3.0}, 3.0),
        ({"value_floats": [3.0, 4.0]}, [3.0, 4.0]),
        ({"value_int": 3}, 3),
        ({"value_ints": [3, 4]}, [3, 4]),
        (
            {
                "sparse_value": helper.make_sparse_tensor(
                    numpy_helper.from_array(np.float32([5.0]), "v"), numpy_helper.from_array(np.array([1]), "i"), [2]
                )
            },
            [0.0, 5.0],
        ),
    ],
    ids=["value", "value_float", "value_floats", "value_int", "value_ints", "sparse_value"],
)
def test_a_constant_node_is_an_initializer(value, expected):
    nodes = [node("Constant", [], ["k"], "constant", **value), node("Relu", ["x"], ["y"], "relu")]
    found = standard_form(graph_model(nodes, {"x": [1, 2]}, ["y"]), "net.onnx")
    assert ops(found) == ["Relu"]
    (tensor,) = found.graph.initializer
    assert tensor.name == "k"
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected)


def test_sparse_initializers_are_dense():
    model = graph_model([node("Add", ["x", "k"], ["y"], "sum")], {"x": [2, 2]}, ["y"])
    values, indices = numpy_helper.from_array(np.float32([5.0, 6.0]), "k"), np.array([[0, 1], [1, 0]])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "at"), [2, 2])
    )
    found = standard_form(model, "net.onnx")
    np.testing.assert_array_equal(numpy_helper.to_array(found.graph.initializer[0]), [[0, 5], [6, 0]])
    assert not found.graph.sparse_initializer


def test_initializers_are_no_inputs_and_the_format_allows_for_it():
    model = graph_model([node("Add", ["x", "k"], ["y"], "sum")], {"x": [1, 2], "k": [2]}, ["y"], {"k": [1.0, 2.0]}, 9)
    model.ir_version = 3
    found = standard_form(model, "net.onnx")
    assert [info.name for info in found.graph.input] == ["x"]
    assert found.ir_version == 8
    np.testing.assert_array_equal(run_onnx(found, {"x": np.float32([[2, 3]])})[0], [[3, 5]])


def test_names_of_several_nodes_are_numbered():
    nodes = [node("Relu", [f"t{i}"], [f"t{i + 1}"], name) for i, name in enumerate(["a", "a", "a_2", "", "a", ""])]
    found = standard_form(graph_model(nodes, {"t0": [1]}, ["t6"]), "net.onnx")
    assert [entry.name for entry in found.graph.node] == ["a", "a_3", "a_2", "", "a_4", ""]


def test_nodes_stand_behind_what_they_read_and_the_graph_has_a_name():
    nodes = [
        node("Neg", ["b"], ["y"], "third"),
        node("Relu", ["x"], ["a"], "first"),
        node("Exp", ["a"], ["b"], "second"),
    ]
    model = graph_model(nodes, {"x": [1]}, ["y"])
    model.graph.name = ""
    found = standard_form(model, "net.onnx")
    assert [entry.name for entry in found.graph.node] == ["first", "second", "third"]
    assert found.graph.name == "network"


def test_a_network_that_is_too_new_is_one_of_the_newest_that_runs():
    newest, ir_version = newest_versions()
    assert newest >= 21
    model = graph_model([node("Relu", ["x"], ["y"], "relu")], {"x": [1]}, ["y"], opset=onnx.defs.onnx_opset_version())
    model.ir_version = onnx.IR_VERSION
    found = standard_form(model, "net.onnx")
    assert (found.opset_import[0].version, found.ir_version) == (
        min(newest, onnx.defs.onnx_opset_version()),
        min(ir_version, onnx.IR_VERSION),
    )
    np.testing.assert_array_equal(run_onnx(found, {"x": np.float32([-1])})[0], [0])


def test_functions_are_inlined():
    body = [node("Mul", ["v", "v"], ["square"], "product"), node("Neg", ["square"], ["w"], "negative")]
    function = helper.make_function("mine", "NegativeSquare", ["v"], ["w"], body, [helper.make_opsetid("", 17)])
    model = graph_model([helper.make_node("NegativeSquare", ["x"], ["y"], "call", domain="mine")], {"x": [2]}, ["y"])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    found = standard_form(model, "net.onnx")
    assert ops(found) == ["Mul", "Neg"]
    np.testing.assert_array_equal(run_onnx(found, {"x": np.float32([2, 3])})[0], [-4, -9])


def test_an_operator_that_never_was_in_the_standard_is_refused():
    model = graph_model([node("ATen", ["x"], ["y"], "odd")], {"x": [1]}, ["y"], opset=1)
    with pytest.raises(UserError, match=r"net\.onnx: operator ATen \(odd\) of opset 1 never became part of ONNX: exp"):
        standard_form(model, "net.onnx")


def test_a_file_without_an_opset_is_of_the_first():
    model = graph_model([node("Add", ["x", "x"], ["y"], "sum", consumed_inputs=[0])], {"x": [2]}, ["y"])
    del model.opset_import[:]
    found = standard_form(model, "net.onnx")
    assert [(entry.domain, entry.version) for entry in found.opset_import] == [("", 7)]
    np.testing.assert_array_equal(run_onnx(found, {"x": np.float32([2, 3])})[0], [4, 6])


X = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) - 11
BIAS = np.float32([10, 100])
OLD = {
    "Add along an axis": (node("Add", ["x", "b"], ["y"], "n", broadcast=1, axis=1), X + BIAS.reshape(2, 1, 1)),
    "Mul of numbers": (node("Mul", ["x", "one"], ["y"], "n", broadcast=1), X * 3),
    "Sub behind": (node("Sub", ["x", "c"], ["y"], "n", broadcast=1), X - np.float32([1, 2, 3, 4])),
    "PRelu": (node("PRelu", ["x", "b"], ["y"], "n"), np.where(X < 0, X * BIAS.reshape(2, 1, 1), X)),
    "Cast": (node("Cast", ["x"], ["y"], "n", to="FLOAT"), X),
    "Concat": (node("Concat", ["x", "x"], ["y"], "n"), np.concatenate([X, X], 1)),
    "Crop": (node("Crop", ["x"], ["y"], "n", border=[1, 0, 0, 2]), X[:, :, :1, 1:]),
    "Crop to a size": (node("Crop", ["x"], ["y"], "n", border=[1, 1, 0, 0], scale=[2, 2]), X[:, :, 1:3, 1:3]),
    "Affine": (node("Affine", ["x"], ["y"], "n", alpha=2.0, beta=1.0), 2 * X + 1),
    "ImageScaler": (
        node("ImageScaler", ["x"], ["y"], "n", scale=0.5, bias=[1.0, 2.0]),
        X / 2 + np.float32([1, 2]).reshape(2, 1, 1),
    ),
    "Scale": (node("Scale", ["x"], ["y"], "n", scale=3.0), 3 * X),
    "Pad": (node("Pad", ["x"], ["y"], "n", paddings=[0, 0, 0, 1, 0, 0, 0, 0]), np.pad(X, ((0, 0),) * 3 + ((1, 0),))),
    "Reshape": (node("Reshape", ["x"], ["y"], "n", shape=[2, 12], consumed_inputs=[0]), X.reshape(2, 12)),
    "Tile": (node("Tile", ["x", "times", "axis"], ["y"], "n"), np.tile(X, (1, 1, 3, 1))),
    "Upsample": (
        node("Upsample", ["x"], ["y"], "n", height_scale=1.0, width_scale=2.0, mode=b"nearest"),
        X.repeat(2, axis=3),
    ),
    "Dropout": (node("Dropout", ["x"], ["y"], "n", is_test=1, ratio=0.5, consumed_inputs=[0]), X),
    "BatchNormalization": (
        node("BatchNormalization", ["x", "b", "b", "b", "v"], ["y"], "n", is_test=1, spatial=1, epsilon=0.0),
        (X - BIAS.reshape(2, 1, 1)) / 2 * BIAS.reshape(2, 1, 1) + BIAS.reshape(2, 1, 1),
    ),
}


@pytest.mark.parametrize("case", OLD)
def test_operators_of_opset_1(case):
    entry, expected = OLD[case]
    constants = {"b": BIAS, "one": 3.0, "c": [1, 2, 3, 4], "v": [4, 4]}
    constants |= {"times": np.array([3]), "axis": np.array([2])}
    used = {name: np.asarray(value) for name, value in constants.items() if name in entry.input}
    used = {name: value if name in ("times", "axis") else value.astype(np.float32) for name, value in used.items()}
    model = graph_model([entry], {"x": X.shape}, ["y"], used, opset=1)
    found = standard_form(model, "net.onnx")
    assert found.opset_import[0].version == 7
    assert found.graph.node[-1].name == "n"
    np.testing.assert_allclose(run_onnx(found, {"x": X})[0], expected, rtol=1e-6)


def test_split_sizes_of_opset_1_are_an_attribute():
    model = graph_model(
        [node("Split", ["x", "sizes"], ["a", "b"], "n", axis=3)],
        {"x": X.shape},
        ["a", "b"],
        {"sizes": np.array([1, 3])},
        1,
    )
    a, b = run_onnx(standard_form(model, "net.onnx"), {"x": X})
    np.testing.assert_array_equal(a, X[..., :1])
    np.testing.assert_array_equal(b, X[..., 1:])


def test_a_gemm_of_opset_6_broadcasts_as_today():
    model = graph_model(
        [node("Gemm", ["x", "w", "b"], ["y"], "n", broadcast=1)],
        {"x": [1, 2]},
        ["y"],
        {"w": [[1.0, 2], [3, 4]], "b": BIAS},
        6,
    )
    np.testing.assert_array_equal(
        run_onnx(standard_form(model, "net.onnx"), {"x": np.float32([[1, 1]])})[0], [[14, 106]]
    )


def test_the_source_is_not_changed():
    source = graph_model([node("Constant", [], ["k"], value_int=3), node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    before = source.SerializeToString(deterministic=True)
    standard_form(source, "net.onnx")
    assert source.SerializeToString(deterministic=True) == before
