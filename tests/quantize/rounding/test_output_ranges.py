import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stages.core.config.schema import QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.rounding.output_ranges import best_range, output_ranges
from tests.export.graphs import graph_model, node
from tests.networks import soc_config

RNG = np.random.default_rng(2)


# --- the search


@pytest.mark.parametrize("wanted", [(-2.0, 3.0), (-0.3, 8.0), (-8.0, 0.5), (0.0, 4.0), (-6.0, 0.0)])
def test_it_finds_the_least_of_a_smooth_error(wanted):
    seen = (-10.0 if wanted[0] < 0 else 0.0, 10.0 if wanted[1] > 0 else 0.0)

    def error(ends):
        return 0.01 + sum(np.log(abs(end / aim)) ** 2 for end, aim in zip(ends, wanted, strict=True) if aim)

    actual = best_range(error, seen)
    for end, aim in zip(actual, wanted, strict=True):
        assert end == pytest.approx(aim, rel=0.1)


def test_it_finds_where_a_silu_errs_least():
    """Compared with all pairs of ends on a grid."""
    values = np.random.default_rng(1).normal(0, 8, 4000)

    def silu(x):
        return x / (1 + np.exp(-x))

    def error(ends):
        scale = (ends[1] - ends[0]) / 15
        zero = round(-ends[0] / scale)
        return float(
            np.square(silu((np.clip(np.rint(values / scale), -zero, 15 - zero)) * scale) - silu(values)).mean()
        )

    seen = float(values.min()), float(values.max())
    best = min(error((seen[0] * a, seen[1] * b)) for a in np.linspace(0.02, 1, 50) for b in np.linspace(0.1, 1, 46))
    actual = best_range(error, seen)
    assert error(actual) <= 1.25 * best
    assert error(actual) < 0.5 * error(seen)


@pytest.mark.parametrize(
    "seen", [(-3.0, 5.0), (0.0, 4.0), (-4.0, 0.0), (-1e-3, 100.0), (0.0, 0.0), (0.5, 3.0), (-3.0, -1.0)]
)
def test_it_never_leaves_what_was_seen(seen):
    asked = []

    def error(ends):
        asked.append(ends)
        return abs(np.sin(37 * ends[0])) + abs(np.cos(11 * ends[1]))

    asked.append(best_range(error, seen))
    assert all(min(seen[0], 0.0) <= low <= 0.0 <= high <= max(seen[1], 0.0) for low, high in asked)


def test_without_any_finite_error_it_is_what_was_seen():
    assert best_range(lambda ends: float("nan"), (-1.0, 2.0)) == (-1.0, 2.0)


# --- of a network


def chosen(model, feeds, tmp_path, soc="t40", **quant):
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    setup = place_quantizers(graph, soc_config(soc), QuantConfig("q", **quant), {})
    statistics = collect(graph.model, ((str(index), dict(each)) for index, each in enumerate(feeds)))
    return output_ranges(graph, setup, statistics, feeds, soc_config(soc), tmp_path / "scratch"), statistics


def before_silu():
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("Sigmoid", ["a"], ["s"], "s"),
        node("Mul", ["a", "s"], ["b"], "b"),
        node("Conv", ["b", "w"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 24, 24]}, ["y"], {"w": np.float32([[12, 0], [0, 12]]).reshape(2, 2, 1, 1)})
    feeds = [{"x": RNG.normal(-1, 1, (1, 2, 24, 24)).astype(np.float32)} for _ in range(2)]
    return model, feeds


@pytest.mark.parametrize("bits", [4, 8])
def test_before_a_silu_useless_negatives_are_clipped(tmp_path, bits):
    actual, statistics = chosen(*before_silu(), tmp_path, feature_bits=bits)
    low, high = actual["a"]
    assert statistics["a"].low < -40
    assert -12 < low < 0
    assert 0.5 * statistics["a"].high < high <= statistics["a"].high
    assert "y" not in actual


def test_features_that_other_operators_take_are_left_out(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("Conv", ["a", "w"], ["b"], "b"),
        node("Add", ["a", "b"], ["c"], "c"),
        node("Conv", ["c", "w"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 24, 24]}, ["y"], {"w": RNG.normal(0, 1, (2, 2, 1, 1))})
    feeds = [{"x": RNG.normal(0, 1, (1, 2, 24, 24)).astype(np.float32)} for _ in range(2)]
    actual, statistics = chosen(model, feeds, tmp_path)
    assert actual.keys() == {"x", "c"}
    for name, (low, high) in actual.items():
        assert statistics[name].low <= low < high <= statistics[name].high


def test_features_of_too_few_positions_are_left_out(tmp_path):
    """A pooled feature has one position a picture: two pictures say little about its range."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("GlobalAveragePool", ["a"], ["b"], "b"),
        node("Conv", ["b", "w"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 24, 24]}, ["y"], {"w": RNG.normal(0, 1, (2, 2, 1, 1))})
    feeds = [{"x": RNG.normal(0, 1, (1, 2, 24, 24)).astype(np.float32)} for _ in range(2)]
    assert chosen(model, feeds, tmp_path)[0].keys() == {"x"}


def test_a_tensor_that_a_body_captures_is_left_out(tmp_path):
    def branch(name):
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 24, 24])]
        return helper.make_graph([node("Neg", ["a"], [name], name)], name, [], outputs)

    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("Conv", ["a", "w"], ["b"], "b"),
        node("ReduceMax", ["b"], ["most"], "most", keepdims=0),
        node("Greater", ["most", "zero"], ["yes"], "yes"),
        node("If", ["yes"], ["y"], "y", then_branch=branch("one"), else_branch=branch("two")),
    ]
    model = graph_model(nodes, {"x": [1, 2, 24, 24]}, ["y"], {"w": RNG.normal(0, 1, (2, 2, 1, 1)), "zero": 0.0})
    feeds = [{"x": RNG.normal(0, 1, (1, 2, 24, 24)).astype(np.float32)} for _ in range(2)]
    assert chosen(model, feeds, tmp_path)[0].keys() == {"x"}


def test_it_comes_out_the_same_again(tmp_path):
    given = before_silu()
    assert chosen(*given, tmp_path / "a", feature_bits=4)[0] == chosen(*given, tmp_path / "b", feature_bits=4)[0]
