"""All nodes that the runtime refuses, where `translate` stops at the first."""

import numpy as np
import pytest

from stages.build.runtime.program import UnsupportedError
from stages.build.runtime.translate import translate, untranslatable
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config

INPUTS = [NetworkInput("x", (1, 3, 4, 4), (0.0,) * 3, (1.0,) * 3, Color.RGB)]


def integer_model(*middle, constants=None):
    """A convolution, some nodes from `c` to `m`, another convolution."""
    weight = np.random.default_rng(0).normal(0, 0.3, (3, 3, 1, 1))
    nodes = [node("Conv", ["x", "w"], ["c"], "first"), *middle, node("Conv", ["m", "w"], ["y"], "last")]
    model = graph_model(nodes, {"x": [1, 3, 4, 4]}, ["y"], {"w": weight, **(constants or {})})
    feeds = {"x": np.random.default_rng(1).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)}
    return quantized_network(model, [feeds], soc_config("t40")).integer


def test_every_refused_node_is_named_and_the_first_is_translate_s():
    model = integer_model(
        node("LRN", ["c"], ["a"], "one", size=3),
        node("LRN", ["a"], ["b"], "two", size=3),
        node("LRN", ["b"], ["m"], "three", size=3),
    )
    refused = untranslatable(model, INPUTS)
    with pytest.raises(UnsupportedError) as caught:
        translate(model, INPUTS)
    assert str(caught.value) == next(iter(refused.values()))
    assert list(refused) == ["one", "two", "three"]


def test_what_is_behind_a_refused_node_is_translated_all_the_same():
    model = integer_model(node("LRN", ["c"], ["a"], "one", size=3), node("Sigmoid", ["a"], ["m"], "gate"))
    assert list(untranslatable(model, INPUTS)) == ["one"]


def test_nothing_of_a_network_that_is_taken():
    model = integer_model(node("Relu", ["c"], ["m"], "relu"))
    assert untranslatable(model, INPUTS) == {}
    assert translate(model, INPUTS).operations


def test_a_node_without_inputs_is_refused_by_name():
    wide = node("RandomNormal", [], ["r"], "noise", shape=[1, 3, 4, 4])
    model = integer_model(wide, node("Add", ["c", "r"], ["m"], "sum"))
    assert list(untranslatable(model, INPUTS)) == ["noise"]
    with pytest.raises(UnsupportedError, match=r"noise \(RandomNormal\)"):
        translate(model, INPUTS)
