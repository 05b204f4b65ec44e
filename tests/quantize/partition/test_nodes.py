import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.nodes import sliding_window
from tests.export.graphs import graph_model, node

WINDOW = {"w": np.ones((2, 2, 4, 2))}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ([1, 1], [1, 1], [0, 0, 0, 0])),
        (
            {"strides": [2, 1], "dilations": [1, 2], "pads": [0, 1, 2, 3]},
            ([2, 1], [1, 2], [0, 1, 2, 3]),
        ),
        ({"auto_pad": "VALID", "strides": [2, 2]}, ([2, 2], [1, 1], [0, 0, 0, 0])),
        # 7 pixels at stride 2 make 4, which take (4 - 1) * 2 + 4 = 10: 3 more, the odd one after or before
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, ([2, 2], [1, 1], [1, 0, 2, 1])),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, ([2, 2], [1, 1], [2, 1, 1, 0])),
    ],
)
def test_a_window_is_written_out(attributes, expected):
    model = graph_model([node("Conv", ["x", "w"], ["y"], "c", **attributes)], {"x": [1, 2, 7, 5]}, ["y"], WINDOW)
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    actual = sliding_window(graph, graph.nodes[0], [4, 2])
    assert (actual["strides"], actual["dilations"], actual["pads"]) == expected
