import numpy as np
import onnx
import pytest

from stages.core.config.schema import OperatorGroup, SocConfig
from stages.core.cost import LayerWork
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.layer_work import folded, layer_work
from stages.quantize.partition.layers import find_layers
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier

SOC = SocConfig(name="S1", fused_activations=["Relu", "Clip"], operators={"Silu": OperatorGroup(["Silu"], [8])})


def work_of(nodes, inputs, constants=None):
    """Counts of the layers: MACs, inputs, outputs, weights."""
    graph = Graph(onnx.shape_inference.infer_shapes(graph_model(nodes, inputs, ["y"], constants or {}, 17)))
    return [(w.macs, w.inputs, w.outputs, w.weights) for w in layer_work(graph, find_layers(graph, SOC))]


def test_a_small_network():
    graph = Graph(tiny_classifier())
    assert layer_work(graph, find_layers(graph, soc_config("t40"))) == [
        LayerWork("stem_relu", "Conv", 8 * 8 * 8 * 3 * 9, 3 * 16 * 16, 8 * 8 * 8, 8 * 3 * 9),
        LayerWork("depthwise_relu6", "DepthwiseConv", 8 * 8 * 8 * 9, 512, 512, 8 * 9),
        LayerWork("project", "Conv", 8 * 8 * 8 * 8, 512, 512, 64),
        LayerWork("residual", "Add", 0, 1024, 512, 0),
        LayerWork("pool", "GlobalAveragePool", 0, 512, 8, 0),
        LayerWork("flatten", "Flatten", 0, 0, 0, 0),
        LayerWork("fc", "Gemm", 24, 8, 3, 24),
    ]


@pytest.mark.parametrize(
    ("nodes", "inputs", "constants", "expected"),
    [
        # 4x4 to 8x8: each of 2*16 inputs meets 3 channels of a 2x2 window
        (
            [node("ConvTranspose", ["x", "w"], ["y"], "up", strides=[2, 2])],
            {"x": [1, 2, 4, 4]},
            {"w": np.ones((2, 3, 2, 2))},
            (32 * 12, 32, 192, 24),
        ),
        ([node("MatMul", ["x", "w"], ["y"], "m")], {"x": [5, 7]}, {"w": np.ones((7, 3))}, (105, 35, 15, 21)),
        ([node("MatMul", ["x", "z"], ["y"], "m")], {"x": [5, 7], "z": [7, 3]}, None, (105, 56, 15, 0)),
        (
            [node("Gemm", ["x", "w"], ["y"], "g", transA=1)],
            {"x": [7, 5]},
            {"w": np.ones((7, 3))},
            (105, 35, 15, 21),
        ),
        # two groups: each output channel sees half of the inputs
        (
            [node("Conv", ["x", "w"], ["y"], "c", group=2)],
            {"x": [1, 4, 2, 2]},
            {"w": np.ones((6, 2, 1, 1))},
            (48, 16, 24, 12),
        ),
        ([node("Add", ["x", "k"], ["y"], "a")], {"x": [1, 4]}, {"k": np.ones(4)}, (0, 8, 4, 0)),
        ([node("Concat", ["x", "x"], ["y"], "c", axis=1)], {"x": [1, 4]}, None, (0, 4, 8, 0)),
        (
            [node("Slice", ["x", "from", "to"], ["y"], "s")],
            {"x": [8]},
            {"from": np.array([2], np.int64), "to": np.array([4], np.int64)},
            (0, 2, 2, 0),
        ),
        (
            [node("Sigmoid", ["x"], ["s"], "s"), node("Mul", ["x", "s"], ["y"], "m")],
            {"x": [1, 4]},
            None,
            (0, 4, 4, 0),
        ),
    ],
)
def test_one_layer(nodes, inputs, constants, expected):
    assert work_of(nodes, inputs, constants) == [expected]


CONV = node("Conv", ["x", "w"], ["c"], "conv")
SILU = [node("Sigmoid", ["c"], ["s"], "sigmoid"), node("Mul", ["c", "s"], ["y"], "silu")]


@pytest.mark.parametrize(
    ("nodes", "outputs", "expected"),
    [
        ([CONV, *SILU], ["y"], {"silu": "conv"}),
        ([CONV, node("Sigmoid", ["c"], ["y"], "sigmoid")], ["y"], {"sigmoid": "conv"}),
        ([CONV, *SILU], ["y", "c"], {}),  # the network gives what is inside
        ([CONV, *SILU, node("Add", ["c", "y"], ["z"], "add")], ["z"], {}),  # another layer takes it
        ([CONV, node("MaxPool", ["c"], ["y"], "pool", kernel_shape=[1, 1])], ["y"], {}),
        ([node("Sigmoid", ["x"], ["y"], "sigmoid")], ["y"], {}),
    ],
)
def test_activations_inside_a_weighted_layer(nodes, outputs, expected):
    model = graph_model(nodes, {"x": [1, 4, 2, 2]}, outputs, {"w": np.ones((4, 4, 1, 1))}, 17)
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    layers = find_layers(graph, SOC)
    assert folded(graph, layers) == expected
    work = {each.node: each for each in layer_work(graph, layers)}
    assert all((work[name].inputs, work[name].outputs) == (0, 0) for name in expected)
    assert (work["conv"].inputs, work["conv"].outputs) == (16, 16) if "conv" in work else not expected
