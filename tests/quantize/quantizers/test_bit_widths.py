"""Bit widths that the user gives: of first and last layers, of single nodes, and those that no SOC has."""

import numpy as np
import pytest

from stages.core.config.schema import FakeQuant, Head
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.bit_widths import nearest_bit_width
from stages.quantize.quantizers.node_bits import NodeBits
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.partition.test_layers import detector
from tests.quantize.quantizers.placements import SIMULATED, TENSORS, WEIGHTS, bits, placed, refusal, soc, weight_bits

# --- the nearest bit width


@pytest.mark.parametrize(
    ("wanted", "allowed", "width"),
    [(8, [4, 8, 10], 8), (9, [4, 8, 10], 10), (2, [4, 8], 4), (16, [12, 4, 10], 12), (5, [8, 6, 4], 6), (8, [4], 4)],
)
def test_nearest_width(wanted, allowed, width):
    assert nearest_bit_width(wanted, allowed) == width


# --- wider first and last layers

NARROW = {"feature_bits": 4, "weight_bits": 4}
EVEN = {"Gemm": ([4, 8, 10, 12], [4, 8])}  # a Gemm as wide as a convolution


def with_edge_bits(by_node=None, chip=None, graph=None, edge_bits=8, **quant):
    return placed(by_node, chip or soc(**EVEN), graph, edge_bits=edge_bits, **(NARROW | quant))


def test_first_and_last_layers_and_what_they_take_are_wider():
    """Pooling makes what the fully connected layer takes: Flatten passes its codes on."""
    setup = with_edge_bits()
    assert bits(setup) == dict.fromkeys(TENSORS, 4) | dict.fromkeys(("images", "pooled", "flat"), 8)
    assert weight_bits(setup) == {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}
    assert setup.notes == []


def test_the_ends_of_all_branches_are_wider():
    setup = with_edge_bits(graph=detector())
    assert {name for name, width in bits(setup).items() if width == 8} == {"x", "m0", "m1", "m2"}
    assert {name for name, width in weight_bits(setup).items() if width == 8} == {"back1", "last0", "last1", "last2"}
    assert {*bits(setup).values(), *weight_bits(setup).values()} == {4, 8}
    assert setup.notes == []


def test_codes_that_others_take_too_are_wider_for_all():
    """x goes through MaxPool to the first convolution, and to a sum."""
    nodes = [
        node("MaxPool", ["x"], ["p"], "pool", kernel_shape=[1, 1]),
        node("Conv", ["p", "w"], ["c"], "one"),
        node("Conv", ["c", "w"], ["d"], "two"),
        node("Conv", ["d", "w"], ["e"], "three"),
        node("Relu", ["x"], ["r"], "relu"),
        node("Add", ["e", "r"], ["y"], "sum"),
    ]
    graph = Graph(graph_model(nodes, {"x": [1, 4, 6, 6]}, ["y"], {"w": np.ones((4, 4, 1, 1))}))
    setup = with_edge_bits(graph=graph)
    assert bits(setup) == {"x": 8, "p": 8, "c": 4, "d": 8, "e": 4, "r": 4, "y": 4}
    assert weight_bits(setup) == {"one": 8, "two": 4, "three": 8}


@pytest.mark.parametrize(("width", "edge_bits"), [(8, 8), (8, 4), (12, 8)])
def test_first_and_last_layers_are_never_narrower_than_the_rest(width, edge_bits):
    settings = {"feature_bits": width, "weight_bits": 8}
    expected, actual = placed(**settings), placed(edge_bits=edge_bits, **settings)
    assert (actual.features, actual.weights, actual.notes) == (expected.features, expected.weights, expected.notes)


def test_single_nodes_take_precedence_over_first_and_last_layers():
    by_node = {"images": NodeBits(4), "pool": NodeBits(10), "fc": NodeBits(weight_bits=4), "stem_relu": NodeBits(12, 4)}
    setup = with_edge_bits(by_node)
    assert bits(setup) == dict.fromkeys(TENSORS, 4) | {"r1": 12, "pooled": 10, "flat": 10}
    assert weight_bits(setup) == dict.fromkeys(WEIGHTS, 4)
    assert setup.notes == []


@pytest.mark.parametrize(
    ("quant", "features", "weights"),
    [
        ({"feature_bits": 32}, {}, {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}),
        ({"fake_quant": FakeQuant.weight}, {}, {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}),
        ({"weight_bits": 32}, dict.fromkeys(TENSORS, 4) | {"images": 8, "pooled": 8, "flat": 8}, {}),
    ],
)
def test_float_first_and_last_layers_stay_in_float(quant, features, weights):
    setup = with_edge_bits(**quant)
    assert (bits(setup), weight_bits(setup)) == (features, weights)


def test_a_last_layer_that_is_kept_in_float_widens_nothing():
    setup = with_edge_bits(skip_nodes=["stem"], head=Head.float)
    assert bits(setup) == dict.fromkeys(TENSORS[1:], 4)
    assert weight_bits(setup) == {"depthwise": 4, "project": 4}


def test_32_bits_of_a_single_node_stay_float_in_the_last_layer():
    setup = with_edge_bits({"images": NodeBits(32), "fc": NodeBits(weight_bits=32)})
    assert "images" not in bits(setup)
    assert weight_bits(setup) == {"stem": 8, "depthwise": 4, "project": 4}


def test_simulated_widths_in_the_first_and_last_layers():
    setup = with_edge_bits(chip=soc(SIMULATED, **EVEN), edge_bits=16)
    assert bits(setup) == dict.fromkeys(TENSORS, 4) | {"images": 16, "pooled": 16, "flat": 16}
    assert weight_bits(setup) == {"stem": 16, "depthwise": 4, "project": 4, "fc": 16}
    assert setup.notes == [
        "16-bit features exist on the PC only: the S1 has no such bit width",
        "16-bit weights exist on the PC only: the S1 has no such bit width",
    ]


def test_a_width_that_is_missing_in_the_last_layer_has_a_note():
    setup = with_edge_bits(edge_bits=12, chip=soc(Gemm=([4, 8], [4, 8])))
    assert bits(setup) == dict.fromkeys(TENSORS, 4) | {"images": 12, "pooled": 8, "flat": 8}
    assert [line.split(":")[0] for line in setup.notes] == [
        "pooled has 8-bit codes, not 12", "flat has 8-bit codes, not 12", "stem has 8-bit weights, not 12",
        "fc has 8-bit weights, not 12",
    ]  # fmt: skip


# --- widths that exist on the PC only


@pytest.mark.parametrize(("wanted", "nearest"), [(12, 12), (14, 14), (16, 16), (13, 12)])
def test_simulated_widths_serve_only_who_wants_them_exactly(wanted, nearest):
    setup = placed(chip=soc(SIMULATED), feature_bits=wanted)
    narrow = nearest if nearest in (14, 16) else 8  # the Gemm's
    assert bits(setup) == dict.fromkeys(TENSORS[:5], nearest) | dict.fromkeys(TENSORS[5:], narrow)
    assert ("16-bit features exist on the PC only: the S1 has no such bit width" in setup.notes) is (wanted == 16)


def test_simulated_weights():
    setup = placed(chip=soc(SIMULATED), weight_bits=16)
    assert weight_bits(setup) == dict.fromkeys(WEIGHTS, 16)
    assert setup.notes == ["16-bit weights exist on the PC only: the S1 has no such bit width"]


def test_without_simulated_widths_the_widest_serves():
    setup = placed(feature_bits=16, weight_bits=16)
    assert bits(setup) == dict.fromkeys(TENSORS[:5], 12) | dict.fromkeys(TENSORS[5:], 8)
    assert weight_bits(setup) == dict.fromkeys(WEIGHTS, 8)


def test_an_operator_that_runs_in_float_gets_no_simulated_width():
    setup = placed(chip=soc(SIMULATED, Add=([], [])), feature_bits=16)
    assert "residual" not in setup.integer
    assert "residual (Add) runs in float: the S1 has no integer Add" in setup.notes


# --- single nodes


@pytest.mark.parametrize("name", ["depthwise", "depthwise_relu6"])
def test_a_node_has_its_own_width_by_any_name_of_its_layer(name):
    setup = placed({name: NodeBits(12, 4)}, feature_bits=8)
    assert bits(setup) == dict.fromkeys(TENSORS, 8) | {"r2": 12}
    assert weight_bits(setup) == dict.fromkeys(WEIGHTS, 8) | {"depthwise": 4}


def test_a_width_that_the_user_asks_for_needs_no_note():
    assert placed({"depthwise": NodeBits(12, 4), "pool": NodeBits(4)}).notes == []


def test_the_last_node_of_a_layer_speaks_for_its_output():
    setup = placed({"depthwise": NodeBits(4), "depthwise_relu6": NodeBits(12)})
    assert bits(setup)["r2"] == 12


def test_an_input_has_its_own_width_and_range():
    setup = placed({"images": NodeBits(10, range=(-1.0, 2.0))})
    assert bits(setup)["images"] == 10
    assert setup.features[0].range == (-1.0, 2.0)
    assert all(feature.range is None for feature in setup.features[1:])


def test_a_range_is_passed_on_with_the_codes():
    setup = placed({"pool": NodeBits(range=(-1.0, 2.0))})
    assert [feature.tensor for feature in setup.features if feature.range == (-1.0, 2.0)] == ["pooled", "flat"]


def test_the_range_of_a_node_decides_its_scale():
    pictures = [{"images": np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}]
    by_node = {"stem_relu": NodeBits(range=(0.0, 5.1)), "pool": NodeBits(range=(-1.0, 1.55))}
    network = quantized_network(tiny_classifier(), pictures, soc_config("t40"), by_node)
    entries = {feature.tensor: feature for feature in network.params.features}
    assert (entries["r1"].scale, entries["r1"].zero_point) == (np.float32(0.02), 0)
    assert (entries["pooled"].scale, entries["pooled"].zero_point) == (np.float32(0.01), 100)
    assert (entries["flat"].scale, entries["flat"].method) == (np.float32(0.01), "shared")
    assert (entries["r1"].method, entries["pooled"].method, entries["sum"].method) == (
        "node_bits",
        "node_bits",
        "MAX_ABS",
    )


def test_32_bits_keep_one_tensor_in_float():
    setup = placed({"project": NodeBits(32)})
    assert list(bits(setup)) == [name for name in TENSORS if name != "c3"]


def test_32_bits_keep_one_weight_in_float():
    assert weight_bits(placed({"project": NodeBits(weight_bits=32)})) == {"stem": 8, "depthwise": 8, "fc": 8}


def test_a_weight_of_a_single_node_is_quantized_while_the_rest_is_float():
    assert weight_bits(placed({"project": NodeBits(weight_bits=4)}, weight_bits=32)) == {"project": 4}


def test_a_simulated_width_of_a_single_node():
    setup = placed({"stem_relu": NodeBits(16, 16)}, soc(SIMULATED))
    assert bits(setup) == dict.fromkeys(TENSORS, 8) | {"r1": 16}
    assert weight_bits(setup) == dict.fromkeys(WEIGHTS, 8) | {"stem": 16}


@pytest.mark.parametrize(
    ("by_node", "said"),
    [
        (
            {"stem_relu": NodeBits(9)},
            "quant.node_bits: stem_relu: 9 bits: the S1's operators around 'r1' can do 4, 8, 10, 12, or 32 for float",
        ),
        (
            {"images": NodeBits(16)},
            "quant.node_bits: images: 16 bits: the S1's operators around 'images' can do 4, 8, 10, 12, or 32 for float",
        ),
        (
            {"pool": NodeBits(10)},
            "quant.node_bits: pool: 10 bits: the S1's operators around 'pooled' can do 4, 8, or 32 for float",
        ),
        (
            {"fc": NodeBits(weight_bits=4)},
            "quant.node_bits: fc: 4-bit weights: the S1 can do 8 there, or 32 for float",
        ),
        (
            {"stem_relu": NodeBits(weight_bits=16)},
            "quant.node_bits: stem: 16-bit weights: the S1 can do 4, 8 there, or 32 for float",
        ),
        (
            {"project": NodeBits(0)},
            "quant.node_bits: project: 0 bits: the S1's operators around 'c3' can do 4, 8, 10, 12, or 32 for float",
        ),
    ],
)
def test_a_width_that_the_soc_lacks_there_comes_with_those_it_has(by_node, said):
    assert refusal(by_node) == said


def test_the_width_of_codes_that_are_passed_on_must_suit_all_who_take_them():
    nodes = [
        node("Relu", ["x"], ["r"], "relu"),
        node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2]),
        node("Sigmoid", ["p"], ["y"], "end"),
    ]
    graph = Graph(graph_model(nodes, {"x": [1, 4, 6, 6]}, ["y"]))
    chip = soc(Sigmoid=([4, 8], []))
    assert bits(placed(chip=chip, graph=graph, feature_bits=12)) == {"x": 12, "r": 8, "p": 8, "y": 8}
    message = refusal({"relu": NodeBits(12)}, chip, graph)
    assert message.endswith("the S1's operators around 'r' can do 4, 8, or 32 for float")
