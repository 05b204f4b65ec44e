import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.compare.gather.similarity import COLUMNS
from stages.core.base.errors import UserError
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.simulator import simulator_model
from tests.compare.gather.examples import compared, networks
from tests.core.integer.nets import Net
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier

KEYS = {
    "node", "op_type", "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute",
    "max_normalized", "sqnr", "euclidean_similarity",
}  # fmt: skip
NODES = ["stem", "stem_relu", "depthwise", "depthwise_relu6", "project", "residual", "pool", "flatten", "fc"]


def pictures(count=3):
    rng = np.random.default_rng(0)
    return [{"images": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def perturbed(name, factor=-0.5):
    model = tiny_classifier()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(weight).copy()
    values[::2] *= factor
    weight.CopyFrom(numpy_helper.from_array(values, name))
    return model


def test_rows_are_nodes_in_graph_order_with_the_documented_keys():
    rows = compared(networks(tiny_classifier(), tiny_classifier()), pictures())
    assert [row["node"] for row in rows] == NODES
    assert [row["op_type"] for row in rows][:4] == ["Conv", "Relu", "Conv", "Clip"]
    assert all(set(row) == KEYS for row in rows)
    assert set(COLUMNS) == KEYS


def test_identical_networks_are_equal():
    for row in compared(networks(tiny_classifier(), tiny_classifier()), pictures()):
        assert row["cosine_min"] == pytest.approx(1.0, abs=1e-9)
        for key in ("euclidean", "standard_deviation", "max_absolute", "max_normalized"):
            assert row[key] == pytest.approx(0.0, abs=1e-5), (row["node"], key)


def test_a_perturbed_weight_shows_from_its_node_on():
    rows = compared(networks(tiny_classifier(), perturbed("w3")), pictures())
    by_node = {row["node"]: row for row in rows}
    for name in NODES[: NODES.index("project")]:
        assert by_node[name]["cosine_avg"] == pytest.approx(1.0, abs=1e-9)
    for name in NODES[NODES.index("project") :]:
        assert by_node[name]["cosine_avg"] < 0.999
        assert by_node[name]["max_absolute"] > 0.01
    assert min(rows, key=lambda row: row["cosine_avg"])["node"] in NODES[NODES.index("project") :]


def test_measures_golden():
    """One Add whose constant differs by [1, 0]: seen [3, 4] instead of [2, 4] and [0, 1] instead of [-1, 1]."""
    nodes = [node("Add", ["x", "k"], ["y"], "sum")]
    one, other = (graph_model(nodes, {"x": [1, 2]}, ["y"], {"k": [[k, 0]]}) for k in (0.0, 1.0))
    fed = [{"x": np.float32([[2, 4]])}, {"x": np.float32([[-1, 1]])}]
    (row,) = compared(networks(one, other), fed)
    cosines = [22 / (20**0.5 * 5), 1 / 2**0.5]
    expected = {
        "cosine_avg": np.mean(cosines),
        "cosine_min": min(cosines),
        "cosine_max": max(cosines),
        "euclidean": (1 / 20**0.5 + 1 / 2**0.5) / 2,
        "standard_deviation": 0.5,
        "max_absolute": 1.0,
        "max_normalized": 0.5,
        "sqnr": 10 * (np.log10(20 / 1) + np.log10(2 / 1)) / 2,
        "euclidean_similarity": 1 - (1 / 22.25**0.5 + 1 / 1.25**0.5) / 2,  # halves of sums: [2.5, 4] and [-0.5, 1]
    }
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)


def test_factors_bring_values_to_the_units_of_the_float_network():
    """The other network computes x / [1, 4, 2] of the float network's x: times the factors nothing differs."""
    scaled = graph_model([node("Identity", ["x"], ["y"], "same")], {"x": [1, 3, 2, 2]}, ["y"])
    other = graph_model(
        [node("Div", ["x", "r"], ["y"], "same")], {"x": [1, 3, 2, 2]}, ["y"], {"r": [[[1.0]], [[4.0]], [[2.0]]]}
    )
    fed = [{"x": np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)}]
    factors = {"y": (1.0, 4.0, 2.0), "z": (3.0,)}
    (without,) = compared(networks(scaled, other), fed)
    (row,) = compared(networks(scaled, other, NetworkParams([], [], factors=factors)), fed)
    assert without["max_absolute"] == pytest.approx(5.5)  # 11 / 2, the last channel; 7 * 3/4 is less
    assert row["max_absolute"] == 0


def test_outputs_of_one_node_have_rows_of_their_own():
    nodes = [node("Split", ["x"], ["a", "b"], "split", axis=1, num_outputs=2), node("Add", ["a", "b"], ["y"], "sum")]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"], opset=18)
    model = onnx.shape_inference.infer_shapes(model)
    rows = compared(networks(model, model), [{"x": np.float32([[1, 2, 3, 4]])}])
    assert [row["node"] for row in rows] == ["split", "split:b", "sum"]


# --- the integer model


def quantized(**quant):
    return quantized_network(tiny_classifier(), pictures(), soc_config("t40"), **quant)


def test_every_node_of_the_float_network_has_a_row_those_inside_fused_layers_too():
    rows = compared(networks(tiny_classifier(), quantized().integer), pictures())
    assert [row["node"] for row in rows] == NODES
    assert all(0.99 < row["cosine_avg"] < 1 for row in rows)


@pytest.mark.parametrize("bits", [8, 12])
def test_a_row_of_a_fused_layer_and_of_the_node_inside_it(bits):
    """The inner node is shown before rounding and clamping: negative values survive, and no code limits it."""
    network = quantized(feature_bits=bits)
    (feeds,) = pictures(1)
    float_values = Runner(with_outputs(network.model, ["c2", "r2"])).run(feeds)
    values = Runner(simulator_model(network.integer, ["c2", "r2"]), optimize="safe").run(feeds)
    step = next(feature.scale for feature in network.params.features if feature.tensor == "r2")
    assert values["c2"].min() < -0.5
    np.testing.assert_allclose(values["r2"], np.clip(values["c2"], 0, 6), rtol=0, atol=0.51 * step)
    rows = {row["node"]: row for row in compared(networks(network.model, network.integer), [feeds])}
    for name, tensor in (("depthwise", "c2"), ("depthwise_relu6", "r2")):
        largest = np.abs(values[tensor].astype(np.float64) - float_values[tensor]).max()
        assert rows[name]["max_absolute"] == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_rows_of_a_gated_layer(soc):
    nodes = [node("Sigmoid", ["x"], ["s"], "gate"), node("Mul", ["x", "s"], ["y"], "mul")]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": [1, 64]}, ["y"]))
    fed = [{"x": np.linspace(-4, 4, 64, dtype=np.float32)[None]}]
    network = quantized_network(model, fed, soc_config(soc))
    rows = compared(networks(model, network.integer), fed)
    assert [row["node"] for row in rows] == ["gate", "mul"]
    assert all(row["cosine_avg"] > 0.999 for row in rows)
    assert 0 < rows[0]["max_absolute"] < 0.01  # a quarter of the input's half step at most


def test_layers_in_float_have_rows_too():
    network = quantized(skip_nodes=["stem", "residual"])
    rows = compared(networks(tiny_classifier(), network.integer), pictures())
    assert [row["node"] for row in rows] == NODES
    by_node = {row["node"]: row for row in rows}
    assert by_node["stem"]["max_absolute"] == pytest.approx(0, abs=1e-5)
    assert by_node["stem_relu"]["max_absolute"] > 1e-4


def test_a_network_of_floats_equals_itself():
    network = quantized(feature_bits=32, weight_bits=32)
    for row in compared(networks(tiny_classifier(), network.integer), pictures()):
        assert row["max_absolute"] == pytest.approx(0, abs=1e-5)


def test_each_further_bit_halves_the_error():
    errors = []
    for bits in (8, 10, 12):
        rows = compared(networks(tiny_classifier(), quantized(feature_bits=bits).integer), pictures())
        errors.append({row["node"]: row["euclidean"] for row in rows}["stem_relu"])
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


# --- values that are not finite


def divided(value, name="y"):
    return graph_model([node("Div", ["x", "k"], [name], "quotient")], {"x": [1, 3]}, [name], {"k": [float(value)]})


def not_finite(compared_networks, fed):
    seen = []
    rows = compared(compared_networks, fed, [lambda comparison: seen.append(comparison.not_finite)])
    return rows, seen


def test_a_quantized_network_that_is_not_finite_is_compared_as_the_worst_there_is():
    fed = [{"x": np.float32([[1, 2, 3]])}]
    ((row,), seen) = not_finite(networks(divided(1), divided(0)), fed)
    assert (row["cosine_avg"], row["sqnr"], row["euclidean_similarity"]) == (0.0, -200.0, -1.0)
    assert row["max_absolute"] == row["euclidean"] == row["standard_deviation"] == row["max_normalized"] == np.inf
    assert seen == [["y"]]


def test_what_is_not_finite_before_it_is_quantized_is_told_too():
    """0 / 0 in a layer in float gets the code of 0: the codes alone look sound."""
    net, codes = Net(), QuantParams(8, 1.0, 1)
    net.feature("x", [1, 3], codes)
    net.add("Dequantize", ["x"], None, "r")
    net.plain("Div", ["r", "r"], "y/float")
    net.add("Quantize", ["y/float"], codes, "y")
    model = graph_model([node("Div", ["x/real", "x/real"], ["y"], "one")], {"x/real": [1, 3]}, ["y"])
    values = net.reference(x=[2, 3, 4])
    fed = [{"x/real": np.float32([[1, 2, 3]])}, {"x/real": np.float32([[1, 0.25, 3]])}]
    ((row,), seen) = not_finite(networks(model, net.model(values)), fed)
    assert seen == [[], ["y"]]
    assert row["max_absolute"] == 1.0


def test_a_float_network_that_is_not_finite_is_refused():
    with pytest.raises(
        UserError, match=r"tensor 'y' of the float network is infinite or not a number on debug sample 1"
    ):
        compared(networks(divided(0), divided(1)), [{"x": np.float32([[1, 2, 3]])}])


def test_where_a_constant_makes_the_float_network_infinite_is_not_compared():
    """A Softmax follows the mask; a second place that is masked in one network alone counts as the least value."""
    nodes = [node("Add", ["x", "mask"], ["m"], "mask"), node("Softmax", ["m"], ["y"], "soft")]
    one, other = (
        graph_model(nodes, {"x": [1, 3]}, ["y"], {"mask": [[0, hidden, -np.inf]]}) for hidden in (0.0, -np.inf)
    )
    (mask, _) = compared(networks(one, other), [{"x": np.float32([[1, 3, 2]])}])
    # [1, 3, 1] and [1, 1, 1]: all that is left there
    assert mask["max_absolute"] == 2.0
    assert mask["cosine_avg"] == pytest.approx(5 / (11**0.5 * 3**0.5))


def test_large_tensors_are_measured_one_network_at_a_time(monkeypatch):
    of = networks(tiny_classifier(), perturbed("w3"))
    expected = compared(of, pictures())
    monkeypatch.setattr("stages.compare.gather.comparison.MOST_BESIDE", 0)
    assert compared(of, pictures()) == expected


def test_tensors_that_memory_does_not_hold_are_refused_before_a_network_runs(monkeypatch):
    monkeypatch.setattr("stages.core.base.memory._free_bytes", lambda: 1000)
    with pytest.raises(UserError, match="comparing all layers of a picture needs"):
        compared(networks(tiny_classifier(), tiny_classifier()), [])
