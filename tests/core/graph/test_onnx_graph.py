from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph, attribute, load_model
from tests.networks import tiny_classifier


@pytest.fixture
def graph():
    return Graph(tiny_classifier())


def node(graph, name):
    return next(entry for entry in graph.nodes if entry.name == name)


def test_tensors_lead_to_the_nodes_around_them(graph):
    assert graph.producers["r1"].name == "stem_relu"
    assert [entry.name for entry in graph.consumers["r1"]] == ["depthwise", "residual"]
    assert "images" not in graph.producers
    assert "logits" not in graph.consumers


def test_inputs_and_outputs_are_the_computed_ones(graph):
    assert graph.inputs == ["images"]
    assert graph.outputs == ["logits"]


def test_an_initializer_that_is_listed_as_input_is_not_fed():
    model = tiny_classifier()
    model.graph.input.append(helper.make_tensor_value_info("w1", TensorProto.FLOAT, [8, 3, 3, 3]))
    assert Graph(model).inputs == ["images"]


def test_shapes_of_every_tensor_are_known(graph):
    assert graph.shapes["images"] == [1, 3, 16, 16]
    assert graph.shapes["c1"] == [1, 8, 8, 8]
    assert graph.shapes["pooled"] == [1, 8, 1, 1]
    assert graph.shapes["logits"] == [1, 3]


def test_a_dynamic_shape_is_left_out():
    assert not {"images", "c1", "logits"} & Graph(tiny_classifier(batch="n")).shapes.keys()


def test_float_tensors_follow_the_graph():
    expected = ["images", "c1", "r1", "c2", "r2", "c3", "sum", "pooled", "flat", "logits"]
    assert Graph(tiny_classifier()).float_tensors == expected


def test_integer_tensors_are_not_float_tensors():
    made = helper.make_graph(
        [helper.make_node("Shape", ["x"], ["size"]), helper.make_node("Add", ["x", "x"], ["twice"])],
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("size", TensorProto.INT64, [1])],
    )
    graph = Graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]))
    assert graph.float_tensors == ["x", "twice"]
    assert [entry.op_type for entry in graph.consumers["x"]] == ["Shape", "Add"]


def test_constants_are_read_by_name(graph):
    np.testing.assert_array_equal(graph.constant("six"), np.float32(6))
    assert graph.constant("b1").shape == (8,)
    assert graph.constant("images") is None


@pytest.mark.parametrize(
    ("name", "expected"), [("stem", False), ("depthwise", True), ("project", False), ("fc", False)]
)
def test_a_depthwise_convolution_works_on_each_channel_alone(graph, name, expected):
    assert graph.is_depthwise(node(graph, name)) is expected


@pytest.mark.parametrize(("shape", "group", "expected"), [((4, 2, 1, 1), 2, False), ((8, 1, 1, 1), 4, True)])
def test_groups_of_several_channels_are_not_depthwise(shape, group, expected):
    weight = numpy_helper.from_array(np.zeros(shape, np.float32), "w")
    made = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", group=group)],
        "grouped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, shape[0], 2, 2])],
        [weight],
    )
    graph = Graph(helper.make_model(made))
    assert graph.is_depthwise(node(graph, "conv")) is expected


def test_attributes_have_a_default(graph):
    assert attribute(node(graph, "stem"), "strides") == [2, 2]
    assert attribute(node(graph, "depthwise"), "group", 1) == 8
    assert attribute(node(graph, "stem"), "group", 1) == 1


def test_a_model_is_loaded(tmp_path):
    onnx.save(tiny_classifier(), tmp_path / "a.onnx")
    assert load_model(tmp_path / "a.onnx") == tiny_classifier()


@pytest.mark.parametrize("content", [b"", b"no network\nat all", b"\xff" * 100])
def test_a_file_that_is_not_onnx_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.onnx is not an ONNX file") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_missing_model_names_the_stage_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run `dvc repro export` first"):
        load_model(Path("out/export/model.onnx"))


def test_large_weights_are_no_inputs_and_small_constants_say_shapes():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Reshape", ["m", "to"], ["y"])]
    constants = {"w": np.zeros((40, 40), np.float32), "to": np.array([4, 10])}
    made = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    graph = Graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert graph.shapes == {"x": [1, 40], "m": [1, 40], "y": [4, 10]}
    assert (graph.inputs, graph.float_tensors, graph.float_names) == (["x"], ["x", "m", "y"], {"x", "m", "y"})
