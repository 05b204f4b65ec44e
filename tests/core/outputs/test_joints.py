"""Where the parts of a tensor are; expected positions are counted by hand."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import Graph
from stages.core.outputs.joints import find_joints
from tests.core.heads.exporters import yolov5, yolov8


def graph_of(text, **constants):
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}{index}"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Graph(onnx.shape_inference.infer_shapes(model))


def named(model):
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    return Graph(onnx.shape_inference.infer_shapes(model))


def joints_of(graph):
    return find_joints(graph, graph.float_tensors)


def described(joint):
    return {part.name: part.index.tolist() for part in joint.parts}


def test_a_joined_output_has_the_parts_that_were_joined():
    graph = graph_of(
        """g (float[1, 2, 3] a) => (float[1, 3, 4] y) {
            b = Relu(a)
            c = Sigmoid(a)
            d = Concat<axis = 1>(b, c)
            y = Transpose<perm = [0, 2, 1]>(d)
        }"""
    )
    (joint,) = joints_of(graph)
    assert (joint.tensor, joint.node, joint.is_output) == ("y", "Concat2", True)
    assert described(joint) == {"Relu0": [0, 1, 4, 5, 8, 9], "Sigmoid1": [2, 3, 6, 7, 10, 11]}
    assert joint.parts[1].source == "c"
    assert joint.parts[1].source_index.tolist() == [0, 3, 1, 4, 2, 5]
    assert joint.chains == {"Concat2": ["Concat2", "Transpose3"]}
    assert joint.alone is None


def test_joints_within_a_joint_are_seen_through():
    graph = graph_of(
        """g (float[1, 2] a, float[1, 1] e) => (float[1, 4] y) {
            b = Relu(a)
            c = Sigmoid(e)
            d = Concat<axis = 1>(b, c)
            f = Exp(e)
            y = Concat<axis = 1>(f, d)
        }"""
    )
    (joint,) = joints_of(graph)
    assert described(joint) == {"Exp3": [0], "Relu0": [1, 2], "Sigmoid1": [3]}
    assert {part.name: part.joints for part in joint.parts} == {
        "Exp3": ("Concat4",), "Relu0": ("Concat2", "Concat4"), "Sigmoid1": ("Concat2", "Concat4"),
    }  # fmt: skip
    assert joint.chains == {"Concat2": ["Concat2", "Concat4"], "Concat4": ["Concat4"]}


def test_what_a_slice_leaves_of_a_part():
    graph = graph_of(
        """g (float[1, 4] a) => (float[1, 3] y) {
            b = Relu(a)
            c = Slice(b, first, last, axes)
            d = Exp(c)
            s = Slice(b, two, three, axes)
            y = Concat<axis = 1>(d, s)
        }""",
        first=[0], last=[2], two=[3], three=[4], axes=[1],
    )  # fmt: skip
    joint = joints_of(graph)[-1]
    assert described(joint) == {"Exp2": [0, 1], "Relu0": [2]}
    assert joint.parts[1].source_index.tolist() == [3]
    assert [part.whole for part in joint.parts] == [True, False]


def test_a_tensor_that_is_taken_apart_has_the_parts_that_are_taken():
    graph = graph_of(
        """g (float[1, 1, 2, 2] x) => (float[1, 1, 2, 2] y, float[1, 2, 2, 2] z)
        <float[3, 1, 1, 1] w = {1, 2, 3}> {
            c = Conv(x, w)
            p, q = Split<axis = 1>(c, sizes)
            y = Relu(p)
            z = Sigmoid(q)
        }""",
        sizes=[1, 2],
    )
    joint = joints_of(graph)[0]
    assert (joint.tensor, joint.node, joint.is_output, joint.by_channel) == ("c", "Conv0", False, False)
    assert described(joint) == {"Split1": [0, 1, 2, 3], "Split1:q": [4, 5, 6, 7, 8, 9, 10, 11]}
    assert joint.chains == {"Conv0": ["Conv0", "Split1"]}
    picture = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    values = joint.runner.run({"x": picture})["c"]
    np.testing.assert_array_equal(values[0, :, 0, 1], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("shape", "last"),
    [("1, 2, 3", [1, 3, 5]), ("1, 2, 2, 2", [4, 5, 6, 7]), ("1, 2, 1, 1, 2", [1, 3]), ("1, 3, 2", [1, 3, 5])],
)
def test_an_output_that_nothing_joins_has_channels(shape, last):
    graph = graph_of(f"g (float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}")
    (joint,) = joints_of(graph)
    if shape == "1, 2, 3":
        last = [3, 4, 5]
    assert joint.by_channel
    assert (joint.parts[-1].name, joint.parts[-1].index.tolist()) == ("channel 1", last)


def test_probabilities_are_of_one_unit():
    graph = graph_of("g (float[1, 5] x) => (float[1, 5] y) { y = Softmax(x) }")
    (joint,) = joints_of(graph)
    assert described(joint) == {"": [0, 1, 2, 3, 4]}


def test_channels_without_codes_are_one():
    graph = graph_of("g (float[1, 5] x) => (float[1, 5] y) { y = Relu(x) }")
    (joint,) = find_joints(graph, ())
    assert described(joint) == {"": [0, 1, 2, 3, 4]}
    assert joint.runner is None


def test_what_is_joined_for_a_layer():
    graph = graph_of(
        """g (float[1, 5] x) => (float[1, 5] y) {
            a = Relu(x)
            b = Exp(x)
            c = Concat<axis = 0>(a, b)
            y = ReduceSum<keepdims = 1>(c, axes)
        }""",
        axes=[0],
    )
    inside, output = joints_of(graph)
    assert (inside.tensor, inside.is_output, output.tensor) == ("c", False, "y")
    assert described(inside) == {"Relu0": [0, 1, 2, 3, 4], "Exp1": [5, 6, 7, 8, 9]}
    assert inside.consumers == {"ReduceSum3": "y"}
    assert inside.chains == {"Concat2": ["Concat2", "ReduceSum3"]}
    assert [joint.tensor for joint in find_joints(graph, ())] == ["y"]


def test_large_tensors_are_looked_at_in_part():
    """2 x 100 000 elements inside: every fourth, of each part the same in its source."""
    graph = graph_of(
        """g (float[1, 100000] x) => (float[1, 1] y) {
            a = Relu(x)
            b = Exp(x)
            c = Concat<axis = 1>(a, b)
            y = ReduceSum<keepdims = 1>(c, axes)
        }""",
        axes=[1],
    )
    parts = joints_of(graph)[0].parts
    assert [len(part.index) for part in parts] == [25000, 25000]
    assert parts[1].index[:3].tolist() == [100000, 100004, 100008]
    assert parts[1].source_index[:3].tolist() == [0, 4, 8]


def test_exporters_outputs():
    """Of YOLOv8 boxes and scores, each of all levels; of YOLOv5 three parts each level."""
    joint = joints_of(named(yolov8()))[-1]
    assert [len(part.index) for part in joint.parts] == [4 * 126, 3 * 126]
    whole = np.concatenate([part.index for part in joint.parts])
    assert sorted(whole.tolist()) == list(range(7 * 126))
    joint = joints_of(named(yolov5()))[-1]
    assert [len(part.index) for part in joint.parts] == [
        3 * cells * kind for cells in (96, 24, 6) for kind in (2, 2, 4)
    ]
