from dataclasses import replace

import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import QuantConfig, UnlikeParts
from stages.core.graph.onnx_graph import Graph
from stages.scan.network_scan import float_layers
from stages.scan.placements import Placements, State
from tests.export.graphs import graph_model, node
from tests.networks import soc_config
from tests.scan.networks import INT8, attention, joined_parts, placed


def test_states():
    states = placed(attention(), "t40").states
    in_float = [name for name, state in states.items() if state is State.float]
    # the Gather reads a Softmax's float values and is no integer operator itself; the pool behind it has codes again
    assert in_float == ["gate", "weights", "picked", "normalized", "probabilities"]
    assert states["gated"] is State.integer


def test_shapes_are_no_layers_in_float():
    nodes = [
        node("Shape", ["x"], ["sizes"], "shape"),
        node("Gather", ["sizes", "one"], ["channels"], "channels"),
        node("Relu", ["x"], ["y"], "relu"),
        node("Cast", ["channels"], ["z"], "cast", to=1),
    ]
    states = placed(graph_model(nodes, {"x": [1, 3, 4, 4]}, ["y", "z"], {"one": 1}), "t40").states
    assert states["shape"] is states["channels"] is State.index
    assert states["relu"] is State.integer


def test_what_calibration_decides():
    """A Concat before the output, and the Reshapes that only move values to it."""
    placement = placed(joined_parts(), "t40")
    undecided = [name for name, state in placement.states.items() if state is State.undecided]
    assert undecided == ["flat_boxes", "join"]
    assert placement.undecided["flat_boxes"] == "join"
    assert "what join joins" in placement.reason("join")
    decided = replace(INT8, unlike_parts=UnlikeParts.quantized)
    assert State.undecided not in placed(joined_parts(), "t40", decided).states.values()


def test_socs_that_place_alike_share_a_placement(monkeypatch):
    placements, calls = Placements(Graph(attention()), INT8), []
    place = Placements._place
    monkeypatch.setattr(Placements, "_place", lambda *arguments: calls.append(1) or place(*arguments))
    t40, t41 = (placements.place(soc_config(name)) for name in ("t40", "t41"))
    assert len(calls) == 1
    assert t40.setup.features == t41.setup.features
    assert [float_layers(each)[0].reason for each in (t40, t41)] == [
        "the T40 has no integer Exp",
        "the T41 has no integer Exp",
    ]
    placements.place(soc_config("bm1684x"))
    assert len(calls) == 2


def test_bit_widths_that_a_soc_lacks():
    placements = Placements(Graph(attention()), INT8)
    with pytest.raises(UserError, match=r"quant.feature_bits=4: the bm1684x cannot do 4 bits"):
        placements.place_at(soc_config("bm1684x"), (4, 4))
    bits = placements.place_at(soc_config("t40"), (4, 4)).feature_bits
    assert bits["c"] == 4
    assert QuantConfig("int8").feature_bits == 8


def test_what_the_settings_keep_in_float():
    kept = replace(INT8, skip_nodes=["conv"])
    layers = {layer.node: layer for layer in float_layers(placed(attention(), "t40", kept))}
    assert (layers["conv"].reason, layers["conv"].remedy) == (
        "quant.skip_nodes",
        "the settings keep it in float: leave out quant.skip_nodes",
    )
