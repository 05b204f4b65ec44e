import pytest

from stages.autotune.allocation.cost_tables import BITOPS, FEATURE_BITS, MEAN_BITS, WEIGHT_BITS
from stages.autotune.allocation.predicted_error import PredictedError
from stages.autotune.allocation.problem import find_problem
from stages.autotune.pareto import curve, uniform_bit_widths
from stages.core.config.schema import Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from tests.autotune.stubs import made_up
from tests.networks import soc_config, tiny_classifier


def predicted(problem):
    """Errors that fall fourfold a bit, as rounding does."""
    errors = {name: {bits: 4.0**-bits for bits in bit_widths} for name, bit_widths in problem.bit_widths.items()}
    return PredictedError(problem, errors)


def test_the_curve_falls_from_the_least_bits_to_the_most():
    problem = made_up()
    points = curve(predicted(problem), MEAN_BITS, 7)
    assert points[0].cost == 2.0
    assert points[-1].cost == 8.0
    assert [point.cost for point in points] == sorted(point.cost for point in points)
    assert [point.predicted for point in points] == sorted((point.predicted for point in points), reverse=True)
    assert points[0].predicted == pytest.approx(6 / 16)


def test_bits_bound_features_and_weights_each():
    problem = made_up()
    for point in curve(predicted(problem), MEAN_BITS, 7):
        features, weights = (problem.costs.total(cost, point.allocation) for cost in (FEATURE_BITS, WEIGHT_BITS))
        assert features == pytest.approx(weights)


def test_a_curve_over_bit_operations():
    graph = Graph(tiny_classifier())
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    problem = find_problem(graph, config, {}, CostModel(), allow_float=False)
    points = curve(predicted(problem), BITOPS, 5)
    # from 4-bit features and 2-bit weights; features that nothing multiplies by may be wide at no cost
    assert points[0].cost == 8 * (512 * (27 + 9 + 8) + 24)
    assert len(points) == 5


def test_uniform_bit_widths_to_compare_with():
    graph = Graph(tiny_classifier())

    def pairs(soc, **quant):
        config = Config(soc=soc_config(soc), quant=QuantConfig("q", **quant))
        return uniform_bit_widths(find_problem(graph, config, {}, CostModel(), allow_float=False))

    assert pairs("t40") == [(4, 2), (4, 4), (8, 2), (8, 4), (8, 6), (8, 8), (10, 8), (12, 8)]
    assert pairs("bm1684x") == [(8, 8)]
    assert pairs("t40", weight_bits=32) == [(4, 32), (8, 32), (10, 32), (12, 32)]


def test_bits_are_bounded_alike_where_weights_may_be_narrower():
    # features from 4 bits, weights from 2: the first point has 4 bits of both, as uniform 4/4 has
    graph = Graph(tiny_classifier())
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    problem = find_problem(graph, config, {}, CostModel(), allow_float=False)
    first = curve(predicted(problem), MEAN_BITS, 3)[0]
    assert first.allocation == problem.uniform(4, 4)
    assert first.cost == pytest.approx(4.0)
