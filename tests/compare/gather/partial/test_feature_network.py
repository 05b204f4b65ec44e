import numpy as np
import pytest

from stages.compare.gather.partial.feature_network import feature_network
from stages.core.config.schema import FakeQuant
from stages.core.graph.onnx_graph import Graph
from tests.compare.gather.partly_quantized import constants, equalized, pictures, values_of
from tests.networks import quantized_network, soc_config, tiny_classifier

TENSORS = ["c1", "r1", "c2", "r2", "c3", "sum", "pooled", "flat", "logits"]


@pytest.mark.parametrize("bits", [8, 10])
def test_features_alone_are_those_of_one_sided_quantization(bits):
    both = quantized_network(tiny_classifier(), pictures(), soc_config("t40"), feature_bits=bits, weight_bits=4)
    one = quantized_network(
        tiny_classifier(), pictures(), soc_config("t40"), feature_bits=bits, fake_quant=FakeQuant.feature
    )
    (feeds,) = pictures(1)
    actual = values_of(feature_network(both.qdq, Graph(both.model), both.params), feeds, TENSORS)
    expected = values_of(one.qdq, feeds, TENSORS)
    for name in TENSORS:
        np.testing.assert_array_equal(actual[name], expected[name])


def test_equalized_features_alone_are_in_the_units_of_the_float_network():
    model, params, _, qdq, one_sided, _, scaled = equalized()
    assert {"r1", "s"} <= params.factors.keys()
    assert not np.array_equal(constants(scaled)["k"], constants(model)["k"])
    (feeds,) = pictures(1)
    actual = values_of(feature_network(qdq, Graph(model), params), feeds, ["c1", "r1", "s", "y"])
    expected = values_of(one_sided, feeds, ["c1", "r1", "s", "y"])
    for name, values in expected.items():
        factor = np.array(params.factors.get(name, [1.0]), dtype=np.float32).reshape(-1, 1, 1)
        apart = np.abs(actual[name] - values * factor)
        assert np.median(apart / np.abs(actual[name]).max()) < 1e-6, name
        assert (apart > 1e-4 * np.abs(actual[name]).max()).mean() < 0.01, name


def test_nodes_of_factors_are_not_called_as_a_layer_may_be():
    """A network out of TensorFlow has layers that are called as their outputs."""
    model, params, _, qdq, *_ = equalized()
    names = [node.name for node in feature_network(qdq, Graph(model), params).graph.node]
    assert params.factors
    assert not set(names) & params.factors.keys()
    assert len(set(names)) == len(names)
