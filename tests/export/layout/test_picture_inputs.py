"""Inputs with channels last, and pixels as integers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.export.layout.picture_inputs import float_pixels, with_channels_first
from stages.export.shapes import graph_shapes
from tests.export.graphs import graph_model, node

NCHW = [0, 3, 1, 2]


def to_first(before=(), target="t", **constants):
    """image, what is `before` the Transpose, the Transpose to NCHW, a Relu."""
    nodes, name = [], "image"
    for kind in before:
        inputs = [name, "k"] if kind in ("Sub", "Mul") else [name]
        nodes.append(node(kind, inputs, [f"{name}_{kind}"], kind))
        name = nodes[-1].output[0]
    nodes += [node("Transpose", [name], [target], "transpose", perm=NCHW), node("Relu", [target], ["y"], "relu")]
    return nodes, constants


def nhwc(shape=(1, 4, 6, 3), before=(), **constants):
    nodes, constants = to_first(before, **constants)
    return graph_model(nodes, {"image": shape}, ["y"], constants)


@pytest.mark.parametrize("before", [[], ["Sub"], ["Sub", "Mul"], ["Neg", "Relu"]])
def test_an_input_that_leads_to_a_transpose_alone_takes_channels_first(before):
    source = nhwc(before=before, k=np.float32([1.0, 2.0, 3.0]))
    changed, names = with_channels_first(source)
    assert names == ["image"]
    assert graph_shapes(changed) == {"image": [1, 3, 4, 6]}
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 3)).astype(np.float32)
    (expected,) = Runner(source).run({"image": x}).values()
    (actual,) = Runner(changed).run({"image": np.ascontiguousarray(x.transpose(NCHW))}).values()
    np.testing.assert_array_equal(actual, expected)


def test_sizes_that_are_not_static_move_with_their_axes():
    changed, _ = with_channels_first(nhwc(("N", "H", "W", 3)))
    dims = changed.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", 3, "H", "W"]


def test_one_channel_may_be_moved_by_a_reshape():
    nodes = [node("Reshape", ["image", "to"], ["t"], "reshape"), node("Relu", ["t"], ["y"], "relu")]
    source = graph_model(nodes, {"image": [1, 4, 6, 1]}, ["y"], {"to": np.array([-1, 1, 4, 6])})
    changed, names = with_channels_first(source)
    assert names == ["image"]
    assert graph_shapes(changed) == {"image": [1, 1, 4, 6]}


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Relu", ["image"], ["y"], "relu")],
        [node("Transpose", ["image"], ["y"], "transpose", perm=[0, 2, 1, 3])],
        [node("Transpose", ["image"], ["t"], "t", perm=NCHW), node("Softmax", ["image"], ["y"], "s", axis=3)],
        [node("Reshape", ["image", "to"], ["y"], "reshape")],
    ],
    ids=["no transpose", "another one", "read otherwise too", "flattened"],
)
def test_an_input_without_that_evidence_stays(nodes):
    source = graph_model(nodes, {"image": [1, 4, 6, 3]}, ["y"], {"to": np.array([1, -1])})
    assert with_channels_first(source) == (source, [])


def test_a_tensor_of_another_rank_stays():
    source = graph_model([node("Transpose", ["x"], ["y"], "t", perm=[0, 2, 1])], {"x": [1, 4, 3]}, ["y"])
    assert with_channels_first(source) == (source, [])


def test_the_body_of_an_if_reads_the_input_as_it_was():
    body = helper.make_graph(
        [node("Transpose", ["image"], ["r"], "inner", perm=NCHW)],
        "b",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("If", ["yes"], ["i"], "if", then_branch=body, else_branch=body),
        node("Transpose", ["image"], ["t"], "outer", perm=NCHW),
        node("Add", ["i", "t"], ["y"], "sum"),
    ]
    source = graph_model(nodes, {"image": [1, 4, 6, 3]}, ["y"])
    source.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    assert with_channels_first(source)[1] == []  # what a body does with it is not looked at


def pixels(*casts, kind=TensorProto.UINT8, shape=(1, 3, 2, 2)):
    graph = helper.make_graph(
        [*casts, node("Relu", ["f"], ["y"], "relu")],
        "p",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


CAST = node("Cast", ["image"], ["f"], "cast", to=TensorProto.FLOAT)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT64])
def test_pixels_that_are_cast_to_float_are_float(kind):
    source = pixels(CAST, kind=kind)
    changed, names = float_pixels(source)
    assert names == ["image"]
    assert [entry.op_type for entry in changed.graph.node] == ["Relu"]
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(changed, strict_mode=True))
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    (y,) = Runner(changed).run({"image": x}).values()
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    "source",
    [
        pixels(CAST, node("Cast", ["image"], ["other"], "other", to=TensorProto.INT32)),
        pixels(CAST, kind=TensorProto.BOOL),
        pixels(CAST, shape=(1, 3)),
    ],
    ids=["also read as integers", "bool", "no picture"],
)
def test_other_integers_stay(source):
    assert float_pixels(source) == (source, [])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 16, 20, 3), [1, 3, 16, 20]),
        ((1, 16, 15, 3), None),
        (("N", "H", "W", 1), [0, 1, 0, 0]),
        (("N", "H", "W", 2), None),
        (("N", 16, "W", 1), None),
    ],
)
def test_sizes_alone_tell_a_colour_picture(shape, expected):
    source = graph_model([node("Relu", ["image"], ["y"], "relu")], {"image": shape}, ["y"])
    changed, names = with_channels_first(source)
    assert names == ([] if expected is None else ["image"])
    assert graph_shapes(changed) == ({"image": expected} if expected else graph_shapes(source))
