"""Where the last convolutions end, and what is run after them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stages.core.base.errors import UserError
from stages.core.heads.tail import find_tail
from tests.core.heads import exporters
from tests.core.heads.exporters import HEIGHT, STRIDES, WIDTH, Exporter, grid_of


def test_grids_of_the_last_convolutions() -> None:
    tail = find_tail(exporters.yolov8(classes=5))
    assert (tail.height, tail.width) == (HEIGHT, WIDTH)
    assert [grid.stride for grid in tail.grids] == list(STRIDES)
    assert [(grid.rows, grid.columns) for grid in tail.grids] == [grid_of(stride) for stride in STRIDES]
    assert [list(grid.channels.values()) for grid in tail.grids] == [[64, 5]] * 3
    assert tail.selectors == ()


def test_the_mean_of_a_distribution_is_no_last_convolution() -> None:
    model = exporters.yolov8()
    projection = next(node for node in reversed(model.graph.node) if node.op_type == "Conv")
    assert projection.output[0] not in find_tail(model).cut_values


def test_bias_and_scale_of_their_own_belong_to_the_convolution() -> None:
    to = Exporter()
    biased = to.binary("Add", to.conv(to.features((8,))[8], 6), np.ones((1, 6, 1, 1)))
    scaled = to.binary("Mul", biased, 1.5)
    output = to.op("Sigmoid", scaled)
    tail = find_tail(to.model(output))
    assert tail.grids[0].channels == {scaled: 6}
    np.testing.assert_allclose(tail.values[output], 1 / (1 + np.exp(-tail.cut_values[scaled])), rtol=1e-5)


def test_a_constant_of_each_cell_belongs_to_the_decoding() -> None:
    to = Exporter()
    convolution = to.conv(to.features((8,))[8], 2)
    grid = exporters.cells_of(8).T.reshape(1, 2, *grid_of(8))
    assert find_tail(to.model(to.binary("Add", convolution, grid))).grids[0].channels == {convolution: 2}


def test_shapes_of_features_are_constants() -> None:
    """PyTorch's exporter computes a grid from a feature's shape, which is before the last convolutions."""
    to = Exporter()
    feature = to.features((8,))[8]
    rows = to.op("Gather", to.op("Shape", feature), to.constant(2, np.int64))
    lines = to.op(
        "Cast", to.op("Range", to.constant(0, np.int64), rows, to.constant(1, np.int64)), to=TensorProto.FLOAT
    )
    convolution = to.conv(feature, 2)
    output = to.op("Add", convolution, to.op("Unsqueeze", lines, to.constant([1], np.int64)))
    tail = find_tail(to.model(output))
    expected = tail.cut_values[convolution] + np.arange(8)[:, None]
    np.testing.assert_allclose(tail.values[output], expected, rtol=1e-6)


def test_what_follows_a_choice_of_rows_is_not_run() -> None:
    tail = find_tail(exporters.yolov8(select="top_k"))
    assert tail.selectors == ("TopK",)
    assert tail.outputs[0] not in tail.values
    assert (1, 126, 4) in [value.shape for value in tail.values.values()]
    assert find_tail(exporters.yolov8(select="trt")).selectors == ("EfficientNMS_TRT",)


def test_weights_as_constant_nodes() -> None:
    """Paddle's exporter writes them so."""
    model = exporters.fastestdet()
    expected = find_tail(model).grids
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    every = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(every)
    assert find_tail(model).grids == expected


def test_channels_last_input() -> None:
    model = exporters.fastestdet()
    transpose = helper.make_node("Transpose", ["nhwc"], ["images"], perm=[0, 3, 1, 2])
    every = [transpose, *model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(every)
    model.graph.input.append(helper.make_tensor_value_info("nhwc", TensorProto.FLOAT, ["N", HEIGHT, WIDTH, 3]))
    tail = find_tail(model)
    assert (tail.height, tail.width) == (HEIGHT, WIDTH)
    assert [grid.stride for grid in tail.grids] == [16]


def test_only_a_picture_is_looked_at() -> None:
    graph = onnx.parser.parse_graph(
        "g (float[1, 3, 8, 8] a, float[1, 3, 8, 8] b) => (float[1, 3, 8, 8] y) { y = Add(a, b) }"
    )
    assert find_tail(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)) is None


def test_a_network_that_does_not_run_is_the_users_mistake() -> None:
    model = exporters.fastestdet()
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "TRT"
    with pytest.raises(UserError, match="ONNX Runtime cannot load the network"):
        find_tail(model)


def test_the_picture_may_reach_the_tail_by_a_shortcut() -> None:
    graph = onnx.parser.parse_graph(
        """g (float[1, 3, 64, 64] x) => (float[1, 3, 64, 64] y) <float[3, 3, 1, 1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}> {
            c = Conv(x, w)
            y = Add(c, x)
        }"""
    )
    tail = find_tail(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    assert list(tail.values) == ["c", "y"]


@pytest.mark.parametrize("size", ["", "-1"])
def test_a_size_that_is_not_static_is_refused(size: str) -> None:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, int(size) if size else "width"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info], [output])
    with pytest.raises(UserError, match="input x has the shape"):
        find_tail(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
