"""Which values of an output belong together; positions are counted by hand."""

import numpy as np
import onnx
import pytest
from onnx import helper

from stages.core.graph.onnx_graph import Graph
from stages.core.outputs import output_parts
from stages.core.outputs.output_parts import OutputParts, parts_of_outputs


def parts_of(text):
    graph = onnx.parser.parse_graph(text)
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}{index}"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return parts_of_outputs(Graph(onnx.shape_inference.infer_shapes(model)))


def test_a_whole_output_is_one_part():
    parts = OutputParts.whole(3)
    assert (list(parts.names), parts.size, parts.counts.tolist()) == ([""], 3, [3])
    values = np.array([[1.5, 2.0, -4.0]], np.float32)
    assert parts.of(values).tolist() == [1.5, 2.0, -4.0]
    assert parts.of(values).dtype == np.float64
    assert parts.sums(parts.of(values)).tolist() == [-0.5]


def test_of_a_large_output_values_are_looked_at_evenly(monkeypatch):
    monkeypatch.setattr(output_parts, "MOST_VALUES", 4)
    assert OutputParts.whole(4).order.tolist() == [0, 1, 2, 3]
    parts = OutputParts.whole(9)
    assert (parts.order.tolist(), parts.counts.tolist(), parts.size) == ([0, 3, 6], [3], 9)


def test_values_and_sums_go_part_by_part():
    parts = OutputParts(["a", "b"], np.array([3, 0, 1]), np.array([0, 1]), 4)
    values = np.array([[1, 2], [3, 4]], np.float32)
    assert parts.of(values).tolist() == [4, 1, 2]
    assert parts.counts.tolist() == [1, 2]
    assert parts.sums(parts.of(values)).tolist() == [4, 3]


@pytest.mark.parametrize("turned", [False, True])
def test_a_joined_output_has_the_parts_that_were_joined(turned):
    last = "y = Transpose<perm = [0, 2, 1]>(d)" if turned else "y = Identity(d)"
    shape = "[1, 2, 3]" if turned else "[1, 3, 2]"
    found = parts_of(f"""g (float[1, 2, 2] a) => (float{shape} y) {{
        b = Relu(a)
        s = ReduceMean<axes = [1], keepdims = 1>(a)
        c = Sigmoid(s)
        d = Concat<axis = 1>(b, c)
        {last}
    }}""")
    parts = found["y"]
    assert [*parts.names] == ["Relu0", "Sigmoid2"]
    assert parts.order.tolist() == ([0, 1, 3, 4, 2, 5] if turned else [0, 1, 2, 3, 4, 5])
    assert (parts.starts.tolist(), parts.counts.tolist(), parts.size) == ([0, 4], [4, 2], 6)


def test_each_float_output_of_known_size_has_parts():
    found = parts_of(
        """g (float[1, 4] a, float[1, N] b) => (float[1, 4] y, int64[1, 1] best, float[1, N] open) {
            y = Relu(a)
            best = ArgMax<axis = 1>(a)
            open = Relu(b)
        }"""
    )
    assert [*found] == ["y"]
    assert ([*found["y"].names], found["y"].size) == ([""], 4)
