"""What the user may keep in float."""

import numpy as np
import pytest

from stages.core.config.schema import FakeQuant, Head
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.notes import folded
from tests.export.graphs import graph_model, node
from tests.quantize.partition.test_layers import detector
from tests.quantize.quantizers.placements import TENSORS, WEIGHTS, bits, placed, refusal, soc, weight_bits

# --- nodes and operators that stay in float


@pytest.mark.parametrize("name", ["stem", "stem_relu"])
def test_any_node_of_a_fused_layer_skips_the_whole_layer(name):
    setup = placed(skip_nodes=[name])
    assert list(bits(setup)) == TENSORS[1:]  # the layers behind it take r1 as codes
    assert list(weight_bits(setup)) == WEIGHTS[1:]
    assert "stem_relu" not in setup.integer
    assert setup.notes == ["stem_relu (Conv) runs in float: quant.skip_nodes"]


def test_tensors_that_only_skipped_layers_take_stay_in_float():
    setup = placed(skip_nodes=["residual", "pool"])
    assert list(bits(setup)) == [name for name in TENSORS if name not in ("c3", "sum")]
    assert setup.notes == [
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
    setup = placed(skip_ops=[kind])
    assert setup.notes[: len(skipped)] == [line for line in setup.notes if "quant.skip_ops" in line]
    assert [line.split()[0] for line in setup.notes] == skipped
    assert setup.integer.isdisjoint(skipped)


@pytest.mark.parametrize("kind", ["Silu", "Sigmoid", "Mul"])
def test_a_gated_layer_is_skipped_by_any_of_its_names(kind):
    nodes = [node("Sigmoid", ["x"], ["s"], "gate"), node("Mul", ["x", "s"], ["y"], "mul")]
    setup = placed(graph=Graph(graph_model(nodes, {"x": [1, 4]}, ["y"])), skip_ops=[kind])
    assert (setup.features, setup.integer) == ([], set())
    assert setup.notes == ["mul (Silu) runs in float: quant.skip_ops"]


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
    setup = placed(skip_nodes=["stem", "depthwise", "project", "residual", "pool", "flatten", "fc"])
    assert (setup.features, setup.weights, setup.integer) == ([], [], set())
    assert len(setup.notes) == 7


# --- one side only, and 32 bits


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.feature}, {"weight_bits": 32}])
def test_features_alone(quant):
    setup = placed(**quant)
    assert list(bits(setup)) == TENSORS
    assert setup.weights == []


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.weight}, {"feature_bits": 32}])
def test_weights_alone(quant):
    setup = placed(**quant)
    assert setup.features == []
    assert list(weight_bits(setup)) == WEIGHTS


@pytest.mark.parametrize("fake_quant", list(FakeQuant))
def test_32_bits_of_both_quantize_nothing(fake_quant):
    setup = placed(feature_bits=32, weight_bits=32, fake_quant=fake_quant)
    assert (setup.features, setup.weights, setup.notes) == ([], [], [])


# --- a detector's head


@pytest.mark.parametrize(("head", "kept"), [(Head.float, True), (Head.quantized, False)])
def test_a_detectors_head_stays_in_float_if_wanted(head, kept):
    setup = placed(graph=detector(), head=head)
    inside = {"joined", *(f"{kind}{i}" for kind in ("last", "decode") for i in "012")}
    assert (setup.integer & inside == set()) is kept
    assert setup.integer >= {"back1_relu", "back2", "neck0", "silu2"}
    assert set(weight_bits(setup)) >= {"back1", "back2", "neck0"}
    assert ("last0" in weight_bits(setup)) is not kept
    expected = {"x", "b2", "b3", *(f"{name}{i}" for name in "pm" for i in "012")}
    assert set(bits(setup)) == (expected if kept else expected | {"y"} | {f"{n}{i}" for n in "ls" for i in "012"})
    assert len([line for line in setup.notes if "runs in float: quant.head=float" in line]) == (7 if kept else 0)


def test_a_skip_is_named_before_the_head():
    setup = placed(head=Head.float, skip_nodes=["fc"])
    assert setup.notes == ["fc (Gemm) runs in float: quant.skip_nodes, on the codes of flatten"]


def test_a_note_names_the_nodes_whose_codes_a_skipped_layer_reads():
    """`residual` reads two convolutions, `pool` the sum of integers."""
    assert placed(skip_nodes=["residual"]).notes == ["residual (Add) runs in float: quant.skip_nodes"]
    assert placed(skip_nodes=["pool"]).notes == [
        "pool (GlobalAveragePool) runs in float: quant.skip_nodes, on the codes of residual"
    ]
    without = soc(GlobalAveragePool=([], []))
    assert placed(chip=without).notes == [
        "pool (GlobalAveragePool) runs in float: the S1 has no integer GlobalAveragePool"
    ]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_layer_with_a_constant_that_no_code_stands_for_stays_in_float(value):
    nodes = [node("Max", ["x", "k"], ["m"], "largest"), node("Add", ["m", "m"], ["y"], "sum")]
    setup = placed(graph=Graph(graph_model(nodes, {"x": [1, 4]}, ["y"], {"k": [value]})), chip=soc(Max=([8], [])))
    assert setup.integer == {"sum"}
    assert setup.notes == ["largest (Max) runs in float: its constant k has values that are infinite or not numbers"]


def test_what_reads_infinite_values_stays_in_float():
    """`sum` adds a mask, `twice` reads what it gives, and behind the Softmax all is finite again."""
    nodes = [
        node("Add", ["x", "mask"], ["m"], "sum"),
        node("Add", ["m", "m"], ["t"], "twice"),
        node("Softmax", ["t"], ["s"], "soft"),
        node("Add", ["s", "s"], ["y"], "last"),
    ]
    graph = Graph(graph_model(nodes, {"x": [1, 4]}, ["y"], {"mask": [0.0, 0.0, -np.inf, 0.0]}))
    setup = placed(graph=graph, chip=soc(Softmax=([8], [])))
    assert setup.integer == {"last"}
    assert setup.notes[:2] == [
        "sum (Add) runs in float: its constant mask has values that are infinite or not numbers",
        "twice (Add) runs in float: m has infinite values, by a constant of the network",
    ]


def test_many_layers_in_float_for_one_reason_are_one_line():
    clips = [f"c{index} (Clip) runs in float: the S1 has no integer Clip" for index in range(5)]
    kept = ["pool (MaxPool) runs in float: quant.skip_ops", "something else"]
    assert folded([*clips[:3], *kept]) == [*clips[:3], *kept]
    assert folded([kept[0], *clips, kept[1]]) == [
        kept[0], "5 layers (Clip) run in float: the S1 has no integer Clip: c0, c1, c2, ...", kept[1],
    ]  # fmt: skip
