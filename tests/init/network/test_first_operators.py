import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.init.network.first_operators import first_arithmetic


def network(*nodes, **constants):
    """Nodes between the input `x` and the output `y`, [1, 3, 4, 4]."""
    shape = [1, 3, 4, 4]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind, *inputs, output="y", **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def test_a_sub_and_a_div_are_followed_through_a_transpose():
    model = network(
        node("Transpose", "x", output="t", perm=[0, 3, 1, 2]),
        node("Sub", "t", "mean", output="s"),
        node("Div", "s", "deviation", output="d"),
        node("Relu", "d"),
        mean=np.reshape([1.0, 2.0, 3.0], (1, 3, 1, 1)),
        deviation=4.0,
    )
    found = first_arithmetic(model, "x")
    assert found.operators == ("Sub", "Div")
    np.testing.assert_allclose(found.scale, 0.25)
    np.testing.assert_allclose(found.offset, [-0.25, -0.5, -0.75])


def test_a_batch_norm_tells_what_it_saw():
    model = network(
        node("Mul", "x", "half", output="m"),
        node("BatchNormalization", "m", "gamma", "beta", "mean", "variance", epsilon=0.0),
        half=0.5,
        gamma=[2.0, 2.0, 2.0],
        beta=[1.0, 1.0, 1.0],
        mean=[50.0, 60.0, 70.0],
        variance=[900.0, 900.0, 900.0],
    )
    found = first_arithmetic(model, "x")
    np.testing.assert_allclose(found.seen_mean, [100.0, 120.0, 140.0])
    np.testing.assert_allclose(found.seen_deviation, [60.0] * 3)
    np.testing.assert_allclose(found.scale, [0.5 * 2 / 30] * 3, rtol=1e-5)
    np.testing.assert_allclose(found.offset, [1 - 50 / 15, 1 - 4, 1 - 70 / 15], rtol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        network(node("Relu", "x")),
        network(node("Add", "x", "x")),  # no constant
        network(node("Mul", "x", "map"), map=np.ones((4, 4))),  # not one value a channel
        network(node("Mul", "x", "two", output="m"), node("Add", "m", "x"), two=2.0),  # two readers
    ],
)
def test_other_beginnings_are_none(model):
    assert first_arithmetic(model, "x") is None
