"""What the user may keep in float, or give a width or range of its own."""

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import FakeQuant, Head, OperatorBitWidths, QuantConfig, SimulatedBitWidths, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.qparams import RangeSource
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.partition.test_layers import detector

TENSORS = ["images", "r1", "r2", "c3", "sum", "pooled", "flat"]
WEIGHTS = ["stem", "depthwise", "project", "fc"]
SIMULATED = SimulatedBitWidths([14, 16], [16])


def soc(simulated=None, **operators):
    """A SOC like the T40: the first operators are wide, Gemm narrow."""
    wide = ("Conv", "DepthwiseConv", "Relu", "Clip", "Add", "Sigmoid", "Concat", "Mul", "MaxPool", "GlobalAveragePool")
    known = (
        {kind: ([4, 8, 10, 12], [4, 8]) for kind in (*wide, "Silu", "Flatten")} | {"Gemm": ([4, 8], [8])} | operators
    )
    return SocConfig(
        name="S1",
        float_outputs=True,
        fused_activations=["Relu", "Clip"],
        operators={kind: OperatorBitWidths(*bit_widths) for kind, bit_widths in known.items()},
        simulated=simulated or SimulatedBitWidths(),
    )


def placed(by_node=None, chip=None, graph=None, **quant):
    return place_quantizers(graph or Graph(tiny_classifier()), chip or soc(), QuantConfig("q", **quant), by_node)


def bits(setup):
    return {entry.tensor: entry.bits for entry in setup.features}


def weight_bits(setup):
    return {entry.node: entry.bits for entry in setup.weights}


def refusal(*arguments, **quant):
    with pytest.raises(UserError) as caught:
        placed(*arguments, **quant)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- nodes and operators that stay in float


@pytest.mark.parametrize("name", ["stem", "stem_relu"])
def test_any_node_of_a_fused_layer_skips_the_whole_layer(name):
    found = placed(skip_nodes=[name])
    assert list(bits(found)) == TENSORS[1:]  # the layers behind it take r1 as codes
    assert list(weight_bits(found)) == WEIGHTS[1:]
    assert "stem_relu" not in found.integer
    assert found.notes == ["stem_relu (Conv) runs in float: quant.skip_nodes"]


def test_a_tensor_between_skipped_layers_stays_in_float():
    found = placed(skip_nodes=["residual", "pool"])
    assert list(bits(found)) == [name for name in TENSORS if name not in ("sum",)]
    assert found.notes == [
        "residual (Add) runs in float: quant.skip_nodes",
        "pool (GlobalAveragePool) runs in float: quant.skip_nodes",
    ]


@pytest.mark.parametrize(
    ("kind", "skipped"),
    [
        ("Conv", ["stem_relu", "depthwise_relu6", "project"]),
        ("DepthwiseConv", ["depthwise_relu6"]),
        ("Relu", ["stem_relu"]),
        ("Gemm", ["fc"]),
        ("Add", ["residual"]),
    ],
)
def test_an_operator_is_skipped_wherever_it_is(kind, skipped):
    found = placed(skip_ops=[kind])
    assert found.notes[: len(skipped)] == [line for line in found.notes if line.endswith("quant.skip_ops")]
    assert [line.split()[0] for line in found.notes] == skipped
    assert found.integer.isdisjoint(skipped)


@pytest.mark.parametrize("kind", ["Silu", "Sigmoid", "Mul"])
def test_a_gated_layer_is_skipped_by_any_of_its_names(kind):
    nodes = [node("Sigmoid", ["x"], ["s"], "gate"), node("Mul", ["x", "s"], ["y"], "mul")]
    found = placed(graph=Graph(graph_model(nodes, {"x": [1, 4]}, ["y"])), skip_ops=[kind])
    assert (found.features, found.integer) == ([], set())
    assert found.notes == ["mul (Silu) runs in float: quant.skip_ops"]


@pytest.mark.parametrize(
    ("quant", "nodes"),
    [
        ({}, []),
        ({"skip_nodes": ["stem"]}, ["stem", "stem_relu"]),
        ({"skip_ops": ["Clip"], "skip_nodes": ["pool"]}, ["depthwise", "depthwise_relu6", "pool"]),
        ({"head": Head.float}, ["fc"]),
    ],
)
def test_every_node_that_the_user_keeps_in_float_is_listed(quant, nodes):
    assert sorted(placed(**quant).skipped) == nodes
    assert placed(chip=soc(Add=([], [])), **quant).skipped == placed(**quant).skipped  # not what the SOC lacks


def test_an_unknown_node_comes_with_a_near_one():
    assert refusal(skip_nodes=["projekt"]) == (
        "quant.skip_nodes: the network has no node 'projekt'; did you mean 'project'?"
    )


def test_an_unknown_operator_comes_with_those_there_are():
    assert refusal(skip_ops=["Conf"]) == (
        "quant.skip_ops: the network has no Conf; it has "
        "Add, Clip, Conv, DepthwiseConv, Flatten, Gemm, GlobalAveragePool, Relu"
    )


def test_skipping_everything_leaves_the_float_network():
    found = placed(skip_nodes=["stem", "depthwise", "project", "residual", "pool", "flatten", "fc"])
    assert (found.features, found.weights, found.integer) == ([], [], set())
    assert len(found.notes) == 7


# --- one side only, and 32 bits


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.feature}, {"weight_bits": 32}])
def test_features_alone(quant):
    found = placed(**quant)
    assert list(bits(found)) == TENSORS
    assert found.weights == []


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.weight}, {"feature_bits": 32}])
def test_weights_alone(quant):
    found = placed(**quant)
    assert found.features == []
    assert list(weight_bits(found)) == WEIGHTS


@pytest.mark.parametrize("fake_quant", list(FakeQuant))
def test_32_bits_of_both_quantize_nothing(fake_quant):
    found = placed(feature_bits=32, weight_bits=32, fake_quant=fake_quant)
    assert (found.features, found.weights, found.notes) == ([], [], [])


# --- a detector's head


@pytest.mark.parametrize(("head", "kept"), [(Head.float, True), (Head.quantized, False)])
def test_a_detectors_head_stays_in_float_if_wanted(head, kept):
    found = placed(graph=detector(), head=head)
    inside = {"joined", *(f"{kind}{i}" for kind in ("last", "decode") for i in "012")}
    assert (found.integer & inside == set()) is kept
    assert found.integer >= {"back1_relu", "back2", "neck0", "silu2"}
    assert set(weight_bits(found)) >= {"back1", "back2", "neck0"}
    assert ("last0" in weight_bits(found)) is not kept
    expected = {"x", "b2", "b3", *(f"{name}{i}" for name in "pm" for i in "012")}
    assert set(bits(found)) == (expected if kept else expected | {"y"} | {f"{n}{i}" for n in "ls" for i in "012"})
    assert len([line for line in found.notes if line.endswith("runs in float: quant.head=float")]) == (7 if kept else 0)


def test_a_skip_is_named_before_the_head():
    found = placed(head=Head.float, skip_nodes=["fc"])
    assert found.notes == ["fc (Gemm) runs in float: quant.skip_nodes"]


# --- wider edges

NARROW = {"feature_bits": 4, "weight_bits": 4}
EVEN = {"Gemm": ([4, 8, 10, 12], [4, 8])}  # a Gemm as wide as a convolution


def edged(by_node=None, chip=None, graph=None, edge_bits=8, **quant):
    return placed(by_node, chip or soc(**EVEN), graph, edge_bits=edge_bits, **(NARROW | quant))


def test_first_and_last_layers_and_what_they_take_are_wider():
    """Pooling makes what the fully connected layer takes: Flatten passes its codes on."""
    found = edged()
    assert bits(found) == dict.fromkeys(TENSORS, 4) | dict.fromkeys(("images", "pooled", "flat"), 8)
    assert weight_bits(found) == {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}
    assert found.notes == []


def test_the_ends_of_all_branches_are_wider():
    found = edged(graph=detector())
    assert {name for name, width in bits(found).items() if width == 8} == {"x", "m0", "m1", "m2"}
    assert {name for name, width in weight_bits(found).items() if width == 8} == {"back1", "last0", "last1", "last2"}
    assert {*bits(found).values(), *weight_bits(found).values()} == {4, 8}
    assert found.notes == []


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
    found = edged(graph=graph)
    assert bits(found) == {"x": 8, "p": 8, "c": 4, "d": 8, "e": 4, "r": 4, "y": 4}
    assert weight_bits(found) == {"one": 8, "two": 4, "three": 8}


@pytest.mark.parametrize(("width", "edge_bits"), [(8, 8), (8, 4), (12, 8)])
def test_edges_are_never_narrower_than_the_rest(width, edge_bits):
    settings = {"feature_bits": width, "weight_bits": 8}
    expected, found = placed(**settings), placed(edge_bits=edge_bits, **settings)
    assert (found.features, found.weights, found.notes) == (expected.features, expected.weights, expected.notes)


def test_single_nodes_take_precedence_over_the_edges():
    by_node = {"images": NodeBits(4), "pool": NodeBits(10), "fc": NodeBits(weight_bits=4), "stem_relu": NodeBits(12, 4)}
    found = edged(by_node)
    assert bits(found) == dict.fromkeys(TENSORS, 4) | {"r1": 12, "pooled": 10, "flat": 10}
    assert weight_bits(found) == dict.fromkeys(WEIGHTS, 4)
    assert found.notes == []


@pytest.mark.parametrize(
    ("quant", "features", "weights"),
    [
        ({"feature_bits": 32}, {}, {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}),
        ({"fake_quant": FakeQuant.weight}, {}, {"stem": 8, "depthwise": 4, "project": 4, "fc": 8}),
        ({"weight_bits": 32}, dict.fromkeys(TENSORS, 4) | {"images": 8, "pooled": 8, "flat": 8}, {}),
    ],
)
def test_float_edges_stay_in_float(quant, features, weights):
    found = edged(**quant)
    assert (bits(found), weight_bits(found)) == (features, weights)


def test_an_edge_that_is_kept_in_float_widens_nothing():
    found = edged(skip_nodes=["stem"], head=Head.float)
    assert bits(found) == dict.fromkeys(TENSORS[1:], 4)
    assert weight_bits(found) == {"depthwise": 4, "project": 4}


def test_32_bits_of_a_single_node_stay_float_at_the_edge():
    found = edged({"images": NodeBits(32), "fc": NodeBits(weight_bits=32)})
    assert "images" not in bits(found)
    assert weight_bits(found) == {"stem": 8, "depthwise": 4, "project": 4}


def test_simulated_widths_at_the_edges():
    found = edged(chip=soc(SIMULATED, **EVEN), edge_bits=16)
    assert bits(found) == dict.fromkeys(TENSORS, 4) | {"images": 16, "pooled": 16, "flat": 16}
    assert weight_bits(found) == {"stem": 16, "depthwise": 4, "project": 4, "fc": 16}
    assert found.notes == [
        "16-bit features exist on the PC only: the S1 has no such width",
        "16-bit weights exist on the PC only: the S1 has no such width",
    ]


def test_a_width_that_is_missing_at_an_edge_has_a_note():
    found = edged(edge_bits=12, chip=soc(Gemm=([4, 8], [4, 8])))
    assert bits(found) == dict.fromkeys(TENSORS, 4) | {"images": 12, "pooled": 8, "flat": 8}
    assert [line.split(":")[0] for line in found.notes] == [
        "pooled has 8-bit codes, not 12", "flat has 8-bit codes, not 12", "stem has 8-bit weights, not 12",
        "fc has 8-bit weights, not 12",
    ]  # fmt: skip


# --- widths that exist on the PC only


@pytest.mark.parametrize(("wanted", "made"), [(12, 12), (14, 14), (16, 16), (13, 12)])
def test_simulated_widths_serve_only_who_wants_them_exactly(wanted, made):
    found = placed(chip=soc(SIMULATED), feature_bits=wanted)
    narrow = made if made in (14, 16) else 8  # the Gemm's
    assert bits(found) == dict.fromkeys(TENSORS[:5], made) | dict.fromkeys(TENSORS[5:], narrow)
    assert ("16-bit features exist on the PC only: the S1 has no such width" in found.notes) is (wanted == 16)


def test_simulated_weights():
    found = placed(chip=soc(SIMULATED), weight_bits=16)
    assert weight_bits(found) == dict.fromkeys(WEIGHTS, 16)
    assert found.notes == ["16-bit weights exist on the PC only: the S1 has no such width"]


def test_without_simulated_widths_the_widest_serves():
    found = placed(feature_bits=16, weight_bits=16)
    assert bits(found) == dict.fromkeys(TENSORS[:5], 12) | dict.fromkeys(TENSORS[5:], 8)
    assert weight_bits(found) == dict.fromkeys(WEIGHTS, 8)


def test_an_operator_that_runs_in_float_gets_no_simulated_width():
    found = placed(chip=soc(SIMULATED, Add=([], [])), feature_bits=16)
    assert "residual" not in found.integer
    assert "residual (Add) runs in float: the S1 has no integer Add" in found.notes


# --- single nodes


@pytest.mark.parametrize("name", ["depthwise", "depthwise_relu6"])
def test_a_node_has_its_own_width_by_any_name_of_its_layer(name):
    found = placed({name: NodeBits(12, 4)}, feature_bits=8)
    assert bits(found) == dict.fromkeys(TENSORS, 8) | {"r2": 12}
    assert weight_bits(found) == dict.fromkeys(WEIGHTS, 8) | {"depthwise": 4}


def test_a_width_that_the_user_asks_for_needs_no_note():
    assert placed({"depthwise": NodeBits(12, 4), "pool": NodeBits(4)}).notes == []


def test_the_last_node_of_a_layer_speaks_for_its_output():
    found = placed({"depthwise": NodeBits(4), "depthwise_relu6": NodeBits(12)})
    assert bits(found)["r2"] == 12


def test_an_input_has_its_own_width_and_range():
    found = placed({"images": NodeBits(10, range=(-1.0, 2.0))})
    assert bits(found)["images"] == 10
    assert found.features[0].range == (-1.0, 2.0)
    assert all(entry.range is None for entry in found.features[1:])


def test_a_range_is_passed_on_with_the_codes():
    found = placed({"pool": NodeBits(range=(-1.0, 2.0))})
    assert [entry.tensor for entry in found.features if entry.range == (-1.0, 2.0)] == ["pooled", "flat"]


def test_the_range_of_a_node_decides_its_scale():
    pictures = [{"images": np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}]
    by_node = {"stem_relu": NodeBits(range=(0.0, 5.1)), "pool": NodeBits(range=(-1.0, 1.55))}
    found = quantized_network(tiny_classifier(), pictures, soc_config("t40"), by_node)
    entries = {entry.tensor: entry for entry in found.params.features}
    assert (entries["r1"].scale, entries["r1"].zero_point) == (np.float32(0.02), 0)
    assert (entries["pooled"].scale, entries["pooled"].zero_point) == (np.float32(0.01), 100)
    assert (entries["flat"].scale, entries["flat"].method) == (np.float32(0.01), RangeSource.shared)
    assert (entries["r1"].method, entries["pooled"].method, entries["sum"].method) == (
        RangeSource.node_bits,
        RangeSource.node_bits,
        RangeSource.MAX_ABS,
    )


def test_32_bits_keep_one_tensor_in_float():
    found = placed({"project": NodeBits(32)})
    assert list(bits(found)) == [name for name in TENSORS if name != "c3"]


def test_32_bits_keep_one_weight_in_float():
    assert weight_bits(placed({"project": NodeBits(weight_bits=32)})) == {"stem": 8, "depthwise": 8, "fc": 8}


def test_a_weight_of_a_single_node_is_quantized_while_the_rest_is_float():
    assert weight_bits(placed({"project": NodeBits(weight_bits=4)}, weight_bits=32)) == {"project": 4}


def test_a_simulated_width_of_a_single_node():
    found = placed({"stem_relu": NodeBits(16, 16)}, soc(SIMULATED))
    assert bits(found) == dict.fromkeys(TENSORS, 8) | {"r1": 16}
    assert weight_bits(found) == dict.fromkeys(WEIGHTS, 8) | {"stem": 16}


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
