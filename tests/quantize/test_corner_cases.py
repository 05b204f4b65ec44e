"""Corners of the quantize stage: unusual operators, ends of the network, and what a node-bits file can ask."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.core.base.errors import UserError
from stages.core.config.schema import QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.node_bits import NodeBits, load_node_bits, node_bits
from stages.quantize.quantizers.placement import place_quantizers
from tests.compare.gather.examples import compared, networks
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.emit.test_lower import (
    PICTURE,
    assert_reference_equal,
    code_differences,
    images,
    output_cosine,
    tiny,
    values,
)

X = {"x": PICTURE}
W = values(5, 4, 3, 3)
T40_CODES = replace(soc_config("t40"), float_outputs=False)


def quantized_run(nodes, constants=None, soc=T40_CODES, deviation=1.0, by_node=None, **more):
    """Quantize a network of some nodes; `more` are its inputs, outputs and opset, and settings of `quant`."""
    inputs, outputs, opset = more.pop("inputs", X), more.pop("outputs", ["y"]), more.pop("opset", 17)
    model = graph_model(nodes, inputs, list(outputs), constants or {}, opset)
    feeds = {name: values(*shape, seed=i + 1, deviation=deviation) for i, (name, shape) in enumerate(inputs.items())}
    return quantized_network(model, [feeds], soc, by_node, **more), feeds


@pytest.mark.parametrize("clamp", [node("Relu", ["c"], ["y"], "r"), node("Clip", ["c", "lo", "hi"], ["y"], "r")])
def test_the_activation_after_the_last_layer_still_acts(clamp):
    network, feeds = quantized_run(
        [node("Conv", ["x", "w"], ["c"], "c"), clamp],
        {"w": W, "lo": np.float32(0), "hi": np.float32(0.5)},
        soc=soc_config("t40"),
    )
    assert output_cosine(network, feeds) > 0.99


def test_a_layer_kept_in_float_keeps_its_activation():
    small = tiny(by_node={"stem_relu": NodeBits(32)})
    assert output_cosine(small, images(0)) > 0.99


def test_both_nodes_of_a_last_layer_have_a_row():
    network, feeds = quantized_run(
        [node("Conv", ["x", "w"], ["c"], "c"), node("Relu", ["c"], ["y"], "r")], {"w": W}, soc=soc_config("t40")
    )
    assert [row["node"] for row in compared(networks(network.model, network.integer), [feeds])] == ["c", "r"]


@pytest.mark.parametrize("value", [None, 0.7])
def test_pad_with_a_value_in_the_reference(value):
    constants = {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])} | ({"v": np.float32(value)} if value else {})
    network, feeds = quantized_run([node("Pad", ["x", *constants], ["y"], "pad")], constants)
    assert_reference_equal(network, feeds)


@pytest.mark.parametrize("value", [None, 0.7])
def test_pad_with_a_value_in_the_simulator(value):
    constants = {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])} | ({"v": np.float32(value)} if value else {})
    network, feeds = quantized_run([node("Pad", ["x", *constants], ["y"], "pad")], constants)
    assert [list(t.dims) for t in network.integer.graph.initializer if t.name == "pad/padded"] == [[]]
    assert output_cosine(network, feeds) > 0.99


def test_pad_keeps_its_axes():
    constants = {"p": np.array([1, 2]), "ax": np.array([3])}
    network, feeds = quantized_run([node("Pad", ["x", "p", "", "ax"], ["y"], "pad")], constants, opset=18)
    assert output_cosine(network, feeds) > 0.99


def test_linear_resize_with_axes():
    network, feeds = quantized_run(
        [node("Resize", ["x", "", "s"], ["y"], "r", mode="linear", axes=[2, 3])], {"s": np.float32([2, 2])}, opset=18
    )
    assert output_cosine(network, feeds) > 0.99


@pytest.mark.parametrize("noop", [0, 1])
def test_mean_with_empty_axes(noop):
    network, feeds = quantized_run(
        [node("ReduceMean", ["x", "a"], ["y"], "m", noop_with_empty_axes=noop)], {"a": np.zeros(0, np.int64)}, opset=18
    )
    assert_reference_equal(network, feeds)
    assert output_cosine(network, feeds) > 0.99


@pytest.mark.parametrize("soc", ["bm1684x", "bm1684"])
def test_written_node_bits_give_the_same_network_on_sophgo(soc):
    assert_round_trip(soc, {}, symmetric=True)


@pytest.mark.parametrize("by_node", [{"project": NodeBits(feature_bits=32)}, {"project": NodeBits(weight_bits=32)}])
def test_written_node_bits_keep_float_nodes(by_node):
    assert_round_trip("t40", by_node, symmetric=False)


def assert_round_trip(soc, by_node, symmetric):
    first = tiny(soc, by_node=by_node)
    content = node_bits(first.params, 8, symmetric, by_node)
    again = {
        name: NodeBits(
            e.get("QUANT_FEATURE_BIT"), e.get("QUANT_WEIGHT_BIT"), (e["MIN"], e["MAX"]) if "MIN" in e else None
        )
        for name, e in content.items()
    }
    second = tiny(soc, by_node=again)
    assert first.integer == second.integer
    assert first.qdq == second.qdq


def test_a_single_node_of_codes_in_a_float_network():
    graph = Graph(tiny_classifier())
    setup = place_quantizers(graph, soc_config("t40"), QuantConfig("q", 32, 32), {"stem_relu": NodeBits(8, 8)})
    assert [w.node for w in setup.weights] == ["stem"]
    assert [f.tensor for f in setup.features] == ["r1"]


def test_a_width_asked_for_by_the_second_name_needs_no_note():
    setup = place_quantizers(
        Graph(tiny_classifier()), soc_config("t40"), QuantConfig("q"), {"stem_relu": NodeBits(weight_bits=4)}
    )
    assert setup.notes == []


def test_entries_of_both_names_add_up():
    by_node = {"stem": NodeBits(feature_bits=10), "stem_relu": NodeBits(weight_bits=4)}
    setup = place_quantizers(Graph(tiny_classifier()), soc_config("t40"), QuantConfig("q"), by_node)
    assert next(f.bits for f in setup.features if f.tensor == "r1") == 10  # 8
    assert next(w.bits for w in setup.weights if w.node == "stem") == 4  # 8


@pytest.mark.parametrize("soc", ["t40", "multiplier_shift"])
def test_a_zero_operand_costs_no_precision(soc):
    network, feeds = quantized_run(
        [node("Max", ["x", "k"], ["y"], "op")], {"k": np.float32(0)}, deviation=0.01, soc=soc_config(soc)
    )
    assert max(code_differences(network, feeds).values()) <= 1


def test_concat_with_zero_padding():
    nodes = [node("Concat", ["a", "b", "k"], ["y"], "op", axis=1)]
    model = graph_model(nodes, {"a": PICTURE, "b": PICTURE}, ["y"], {"k": np.zeros((1, 4, 6, 6))})
    feeds = {"a": values(*PICTURE, deviation=0.01), "b": values(*PICTURE, seed=9, deviation=0.013)}
    network = quantized_network(model, [feeds], soc_config("t40"))
    assert max(code_differences(network, feeds).values()) <= 1


def test_a_bias_for_each_row():
    network, feeds = quantized_run(
        [node("Gemm", ["x", "w", "b"], ["y"], "op")],
        {"w": values(4, 3), "b": np.float32([[1], [-2], [3]])},
        inputs={"x": [3, 4]},
    )
    assert output_cosine(network, feeds) > 0.99


def test_a_huge_range(tmp_path):
    (tmp_path / "a.json").write_text('{"a": {"MIN": 0, "MAX": 1' + "0" * 400 + "}}")
    with pytest.raises(UserError):
        load_node_bits(f"file:{tmp_path}/a.json", ["a"], True)


def test_a_float_node_with_two_outputs():
    nodes = [
        node("Split", ["x", "s"], ["a", "b"], "split", axis=1),
        node("Relu", ["a"], ["ra"], "one"),
        node("Sigmoid", ["b"], ["rb"], "two"),
    ]
    model = graph_model(nodes, X, ["ra", "rb"], {"s": np.array([1, 3])})
    feeds = {"x": values(*PICTURE, deviation=1) * np.float32([1, 9, 9, 9]).reshape(1, 4, 1, 1)}
    first = quantized_network(model, [feeds], soc_config("t40"), skip_nodes=["split"])
    content = node_bits(first.params, 8, False, {})
    again = {n: NodeBits(e["QUANT_FEATURE_BIT"], None, (e["MIN"], e["MAX"])) for n, e in content.items()}
    second = quantized_network(model, [feeds], soc_config("t40"), again, skip_nodes=["split"])
    assert first.integer == second.integer


def branch(kind, output):
    """The body of an If: works on `r`, a tensor of the graph around it."""
    return helper.make_graph(
        [node(kind, ["r"], [output])],
        output,
        [],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 5, *PICTURE[2:]])],
    )


def test_what_the_body_of_an_if_takes_stays_float():
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("ReduceMax", ["r"], ["m"], "most"),
        node("Greater", ["m", "k"], ["b"], "more"),
        node("If", ["b"], ["y"], "either", then_branch=branch("Relu", "one"), else_branch=branch("Neg", "two")),
    ]
    constants = {"w": W, "k": np.float32(0.5)}
    network, feeds = quantized_run(nodes, constants, soc_config("t40"))  # whose convolution returns float
    assert [feature.tensor for feature in network.params.features] == ["x"]
    assert_reference_equal(network, feeds)
    assert output_cosine(network, feeds) > 0.99
    assert quantized_run(nodes, constants)[0].params.features == []  # without float outputs it runs in float


def test_a_size_that_is_known_only_at_run_time_stays_float():
    nodes = [
        node("NonZero", ["x"], ["n"], "where"),
        node("Cast", ["n"], ["f"], "cast", to=1),
        node("Relu", ["f"], ["y"], "relu"),
    ]
    network, _ = quantized_run(nodes)
    assert network.params.features == []
    assert any("its size is not known before it runs" in line for line in network.setup.notes)
