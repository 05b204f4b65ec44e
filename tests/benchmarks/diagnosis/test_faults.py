import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.diagnosis.faults import scalable_pair, scale_channel
from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from tests.compare.diagnose.examples import chain


def network() -> onnx.ModelProto:
    """A convolution with a Relu behind, then two without one between them."""
    rng = np.random.default_rng(0)
    stored = [numpy_helper.from_array(rng.normal(0, 1, (4, 4, 1, 1)).astype(np.float32), f"w{i}") for i in range(3)]
    stored.append(numpy_helper.from_array(rng.normal(0, 1, 4).astype(np.float32), "bias"))
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w1", "bias"], ["c"], "producer"),
        helper.make_node("Conv", ["c", "w2"], ["y"], "consumer"),
    ]
    shape = [1, 4, 2, 2]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *ends, stored), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return onnx.shape_inference.infer_shapes(model)


def tensor(model: onnx.ModelProto, name: str) -> np.ndarray:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 4, 2, 2]))
    return Runner(shown).run({"x": np.random.default_rng(1).normal(0, 1, (1, 4, 2, 2)).astype(np.float32)})[name]


def test_the_pair_between_which_a_channel_scales_freely() -> None:
    assert scalable_pair(Graph(network())) == ("producer", "consumer")
    with pytest.raises(UserError, match="no convolution"):
        scalable_pair(chain())


def test_a_channel_scaled_and_scaled_back_computes_the_same() -> None:
    model = network()
    changed = scale_channel(model, "producer", "consumer")
    np.testing.assert_allclose(tensor(changed, "y"), tensor(model, "y"), rtol=1e-5, atol=1e-5)
    ratio = tensor(changed, "c") / tensor(model, "c")
    np.testing.assert_allclose(ratio[0, 0], 64.0, rtol=1e-5)
    np.testing.assert_allclose(ratio[0, 1:], 1.0, rtol=1e-5)
    assert model == network()


def test_a_channel_that_is_not_scaled_back() -> None:
    changed = scale_channel(network(), "producer", None)
    assert np.abs(tensor(changed, "y") - tensor(network(), "y")).max() > 1.0
    np.testing.assert_allclose(tensor(changed, "c")[0, 0], 64.0 * tensor(network(), "c")[0, 0], rtol=1e-5)
