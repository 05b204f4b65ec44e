import numpy as np
import pytest

from stages.core.graph.session import Runner
from stages.core.integer.dumps import layer_dumps
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.simulator import simulator_model
from stages.infer.precise import precise
from tests.build.runtime.programs import dumps, model_file
from tests.build.runtime.small import float_codes, float_net, small_codes, small_net
from tests.core.integer.nets import Net

MATRIX = np.random.default_rng(0).normal(0, 1, (5, 7)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(0, 1, (6, 3, 3, 2)).astype(np.float32)
KINDS = [
    ("Conv", [KERNEL, KERNEL[:, 0, 0, 0]], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ("Conv", [KERNEL[:, :1]], {"group": 3, "auto_pad": "SAME_UPPER"}),
    ("Conv", [KERNEL[:3, :1, :2]], {"group": 3, "dilations": [2, 1]}),
    ("Softmax", [], {"axis": 1}), ("Softmax", [], {"axis": 3}), ("Sigmoid", [], {}), ("Tanh", [], {}), ("Exp", [], {}),
    ("MatMul", [MATRIX], {}), ("ReduceMean", [np.array([1, 3])], {"keepdims": 0}), ("ReduceSum", [np.array([2])], {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "more", "attributes"), KINDS)
def test_the_board_gives_the_same_bytes(debug, kind, more, attributes):
    assert_bytes_equal(debug, kind, more, attributes, 0.02)


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "Exp"])
def test_far_from_zero_too(debug, kind):
    """From -70 to 109: ONNX Runtime's own Sigmoid is 0 below -20."""
    assert_bytes_equal(debug, kind, [], {}, 0.7 if kind != "Exp" else 0.3)


def assert_bytes_equal(debug, kind, more, attributes, scale):
    net = Net()
    net.feature("x", (1, 3, 4, 5), QuantParams(8, scale, 100))
    net.add("Dequantize", ["x"], None, "r")
    net.plain(kind, ["r", *more], "y", **attributes)
    codes = np.random.default_rng(1).integers(0, 256, (1, 3, 4, 5))
    compared(debug, net, codes)


def test_every_layer_of_a_network_has_the_same_bytes(debug):
    for bits in (4, 8, 12):
        compared(debug, small_net(bits), small_codes(bits))
    compared(debug, float_net(), float_codes())


def compared(runtime, net, codes):
    feeds, values = net.feeds({"x": codes}), net.reference(x=codes)
    model = net.model(values)
    tensors = [name for name in net.tensors if name in values]
    actual = Runner(simulator_model(precise(model), tensors, codes=True), optimize="safe").run(feeds)
    board = dumps(runtime, model_file(model), [feeds["x/real"]])
    for name, content in layer_dumps(model, actual).items():
        assert board[name.removesuffix(".bin") + "_out.bin"] == content, name
