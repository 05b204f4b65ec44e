import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.core.config.schema import FakeQuant, WeightMethod
from stages.core.graph.session import Runner
from stages.core.integer.network_params import NetworkParams, WeightParams
from stages.quantize.emit.prepared import prepared_model, with_biases
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]
WEIGHT = np.float32([[1.0, 0.3], [0.5, 0.2]])


def network(nodes, **weights):
    """From x [1, 2] to the last node's output."""
    return onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": [1, 2]}, [nodes[-1].output[0]], weights))


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model, feeds):
    return list(Runner(model, optimize="none").run(feeds).values())


def prepared(model, *entries):
    """From weights, given as tensor, node, axis, scales and codes."""
    weights = [
        WeightParams(tensor, name, 8, axis, tuple(scales), "by hand") for tensor, name, axis, scales, _ in entries
    ]
    return prepared_model(model, NetworkParams([], weights), {each[1]: np.int32(each[4]) for each in entries})


# --- one weight


@pytest.mark.parametrize(
    ("axis", "scales", "expected"),
    [
        (0, [0.5, 0.25], [[1.0, -1.5], [0.25, 31.75]]),
        (1, [0.5, 0.25], [[1.0, -0.75], [0.5, 31.75]]),
        (None, [0.5], [[1.0, -1.5], [0.5, 63.5]]),
    ],
)
def test_a_weight_becomes_codes_times_scales(axis, scales, expected):
    model = network([node("Gemm", ["x", "w", "b"], ["y"], "fc")], w=WEIGHT, b=np.float32([1, 2]))
    before = model.SerializeToString()
    actual = prepared(model, ("w", "fc", axis, scales, [[2, -3], [1, 127]]))
    np.testing.assert_array_equal(constants(actual)["w"], np.float32(expected))
    np.testing.assert_array_equal(constants(actual)["b"], [1, 2])
    assert constants(actual)["w"].dtype == np.float32
    assert model.SerializeToString() == before
    (result,) = run(actual, {"x": np.float32([[1, 10]])})
    np.testing.assert_array_equal(result, np.float32([[1, 10]]) @ np.float32(expected) + np.float32([1, 2]))


def test_everything_else_stays_byte_for_byte():
    model = tiny_classifier()
    model.graph.doc_string = "kept"
    actual = quantized_network(model, PICTURES, soc_config("t40"), weight_bits=4)
    result = prepared_model(actual.model, actual.params, codes_of(actual))
    weights = {"w1", "w2", "w3", "w4"}
    assert [tensor.name for tensor in result.graph.initializer] == [t.name for t in actual.model.graph.initializer]
    for tensor, source in zip(result.graph.initializer, actual.model.graph.initializer, strict=True):
        assert (tensor == source) is (tensor.name not in weights)
        tensor.CopyFrom(source)
    assert result == actual.model


# --- a weight that nodes share


def shared(*more):
    nodes = [node("Gemm", ["x", "w"], ["t"], "one", transB=1), node("MatMul", ["t", "w"], ["y"], "two"), *more]
    return network(nodes, w=WEIGHT)


X = np.float32([[1.0, 3.0]])


def test_nodes_with_codes_of_their_own_get_weights_of_their_own():
    one, two = [[2, 1], [2, 1]], [[4, 2], [2, 1]]
    actual = prepared(shared(), ("w", "one", 0, [0.5, 0.25], one), ("w", "two", 1, [0.25, 0.125], two))
    assert set(constants(actual)) == {"one/weight/dequantized", "two/weight/dequantized"}
    (result,) = run(actual, {"x": X})
    expected = X @ np.float32([[1.0, 0.5], [0.5, 0.25]]).T @ np.float32([[1.0, 0.25], [0.5, 0.125]])
    np.testing.assert_array_equal(result, expected)


def test_nodes_with_the_same_codes_go_on_sharing():
    entry = (None, [0.5], [[2, 1], [1, 0]])
    actual = prepared(shared(), ("w", "one", *entry), ("w", "two", *entry))
    assert list(constants(actual)) == ["w"]
    np.testing.assert_array_equal(constants(actual)["w"], [[1.0, 0.5], [0.5, 0.0]])


@pytest.mark.parametrize("more", [[], [node("Add", ["y", "w"], ["z"], "sum")]], ids=["weighted", "a sum"])
def test_a_node_that_keeps_the_float_weight_keeps_it(more):
    model = shared(*more)
    actual = prepared(model, ("w", "one", None, [0.5], [[2, 1], [1, 0]]))
    assert set(constants(actual)) == {"w", "one/weight/dequantized"}
    np.testing.assert_array_equal(constants(actual)["w"], WEIGHT)
    (result,) = run(actual, {"x": X})
    product = X @ np.float32([[1.0, 0.5], [0.5, 0.0]]) @ WEIGHT
    np.testing.assert_allclose(result, product + WEIGHT if more else product, rtol=1e-6)


# --- the whole network


def codes_of(network):
    """The codes of every weight, from the network of standard ONNX operators."""
    stored = constants(network.qdq)
    return {weight.node: stored[f"{weight.node}/weight/codes"].astype(np.int32) for weight in network.params.weights}


def tiny(soc="t40", **quant):
    small = quantized_network(tiny_classifier(), PICTURES, soc_config(soc), **quant)
    return small, prepared_model(small.model, small.params, codes_of(small))


@pytest.mark.parametrize(("soc", "bits"), [("t40", 8), ("t40", 2), ("t40", 6), ("bm1684", 8)])
@pytest.mark.parametrize("method", list(WeightMethod))
def test_rounding_at_the_same_scales_gives_the_same_codes(soc, bits, method):
    small, result = tiny(soc, weight_bits=bits, weight_method=method)
    stored, expected = constants(result), codes_of(small)
    assert len(small.params.weights) == 4
    for weight in small.params.weights:
        scales = np.float32(weight.scales).reshape([-1, *[1] * (stored[weight.tensor].ndim - 1)])
        np.testing.assert_array_equal(np.rint(stored[weight.tensor] / scales), expected[weight.node])


@pytest.mark.parametrize("bits", [4, 8])
def test_it_computes_what_quantizing_the_weights_alone_computes(bits):
    small, result = tiny(fake_quant=FakeQuant.weight, weight_bits=bits)
    for feeds in PICTURES:
        quantized, (original,) = run(small.qdq, feeds)[0], run(small.model, feeds)
        np.testing.assert_allclose(run(result, feeds)[0], quantized, rtol=0, atol=1e-6)  # other kernels sum otherwise
        assert np.abs(original - quantized).max() > 1e-3


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.feature}, {"weight_bits": 32}])
def test_without_quantized_weights_it_is_the_float_network(quant):
    small, result = tiny(**quant)
    assert result == small.model
    onnx.checker.check_model(result)


# --- other biases


@pytest.mark.parametrize("inputs", [["x", "w", "b"], ["x", "w"], ["x", "w", ""]], ids=["given", "none", "left out"])
def test_a_node_gets_its_bias_whatever_it_had(inputs):
    model = network(
        [node("Gemm", inputs, ["y"], "fc")], w=WEIGHT, **({"b": np.float32([1, 2])} if "b" in inputs else {})
    )
    before = model.SerializeToString()
    actual = with_biases(model, {"fc": np.float32([10, 20])})
    onnx.checker.check_model(actual)
    assert set(constants(actual)) == {"w", "fc/bias/corrected"}
    np.testing.assert_array_equal(run(actual, {"x": X})[0], X @ WEIGHT + np.float32([10, 20]))
    assert model.SerializeToString() == before


def test_a_bias_that_others_use_stays():
    nodes = [node("Gemm", ["x", "w", "b"], ["t"], "one"), node("Gemm", ["t", "w", "b"], ["y"], "two")]
    model = network(nodes, w=WEIGHT, b=np.float32([1, 2]))
    actual = with_biases(model, {"one": np.float32([10, 20])})
    assert set(constants(actual)) == {"w", "b", "one/bias/corrected"}
    both = with_biases(model, {"one": np.float32([10, 20]), "two": np.float32([0, 0])})
    assert set(constants(both)) == {"w", "one/bias/corrected", "two/bias/corrected"}


def test_without_other_biases_it_is_the_same_network():
    model = network([node("Gemm", ["x", "w"], ["y"], "fc")], w=WEIGHT, unused=np.float32([1]))
    assert with_biases(model, {}) == model
