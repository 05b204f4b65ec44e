import math

import numpy as np
import onnx
import pytest

from stages.autotune.options import Target
from stages.autotune.problem import find_problem
from stages.autotune.solve import Limit, value
from stages.autotune.verify import Verified, Verifier, affordable, allot, cheapest
from stages.core.config.schema import Color, Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.statistics.collect import collect
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline
from stages.quantize.simulation import Simulation
from stages.trial import Metric
from tests.autotune.stubs import bits, made_up
from tests.networks import quantized_network, soc_config, tiny_classifier

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]


def halving(problem, per_variable):
    """Errors that fall fourfold a bit, as rounding does; `per_variable` scales them."""
    return {
        name: {width: per_variable.get(name, 1.0) * 4.0**-width for width in bit_widths}
        for name, bit_widths in problem.bit_widths.items()
    }


def total(found, allotment):
    return sum(found[name][width] for name, width in allotment.items())


# --- within a budget


def test_a_prediction_that_holds_is_left_alone():
    problem = made_up()
    found = halving(problem, {"weight 0": 100.0})
    limit = Limit(bits(problem), 6 * 4.0)

    def classes(allotment):
        raise AssertionError("no class had to be measured")

    (only,) = allot(problem, found, [limit], bits(problem), lambda each: total(found, each), classes)
    assert only.error == pytest.approx(only.predicted)
    assert only.allotment["weight 0"] == 8


def test_a_class_that_was_misjudged_is_mended():
    # 2-bit weights are really a thousand times worse than each alone says; the first answer takes them, the second not
    problem = made_up()
    found = {
        name: {2: 0.02, 4: 0.01, 8: 0.0} if name.startswith("weight") else {2: 0.5, 4: 0.02, 8: 0.0}
        for name in problem.bit_widths
    }
    limit = Limit(bits(problem), 24.0)

    def true(allotment):
        return sum(
            found[name][width] * (1000.0 if name.startswith("weight") and width == 2 else 1.0)
            for name, width in allotment.items()
        )

    def classes(allotment):
        keys = {(name.split()[0], width) for name, width in allotment.items()}
        return {
            key: true({name: width for name, width in allotment.items() if (name.split()[0], width) == key})
            for key in keys
        }

    tried = allot(problem, found, [limit], bits(problem), true, classes)
    assert 2 in [width for name, width in tried[0].allotment.items() if name.startswith("weight")]
    best = min(tried, key=lambda entry: entry.error)
    assert best is not tried[0]
    assert 2 not in [width for name, width in best.allotment.items() if name.startswith("weight")]
    assert best.error < tried[0].error / 10


def test_what_brings_nothing_is_spared():
    # features cost nothing of this budget, but more bits than 4 are worth less than a twentieth of the error
    problem = made_up()
    found = halving(problem, {f"feature {i}": 1e-9 for i in range(3)})
    weights = [table for table in bits(problem) if table.variables[0].startswith("weight")]
    tried = allot(
        problem, found, [Limit(weights, 12.0)], bits(problem), lambda each: total(found, each), lambda each: {}
    )
    last = tried[-1]
    assert [width for name, width in last.allotment.items() if name.startswith("feature")] == [2, 2, 2]
    assert last in affordable(tried, [])


def test_what_is_predicted_to_bring_nothing_but_measures_otherwise_is_not_spared():
    # narrow features are really far worse than each alone says
    problem = made_up()
    found = halving(problem, {f"feature {i}": 3e-3 for i in range(3)})
    weights = [table for table in bits(problem) if table.variables[0].startswith("weight")]

    def measure(allotment):
        narrow = [name for name, width in allotment.items() if name.startswith("feature") and width < 8]
        return total(found, allotment) * (1.0 + 0.1 * len(narrow))

    tried = allot(problem, found, [Limit(weights, 12.0)], bits(problem), measure, lambda each: {})
    (kept,) = affordable(tried, [])
    assert [width for name, width in kept.allotment.items() if name.startswith("feature")] == [8, 8, 8]
    assert len(tried) > 1


def test_nothing_is_taken_that_a_rival_beats():
    entries = [Verified({"a": 4}, 0.0, 1.04), Verified({"a": 8}, 0.0, 1.0)]
    assert affordable(entries, []) == entries
    assert affordable([*entries, entries[1]], [Verified({"a": 6}, 0.0, 1.02)]) == [entries[1], entries[1]]


def test_nothing_within_the_limits():
    problem = made_up()
    assert (
        allot(problem, halving(problem, {}), [Limit(bits(problem), 1.0)], [], lambda each: 0.0, lambda each: {}) == []
    )


# --- a target


def searched(problem, found, target, measure):
    cost = bits(problem)
    return cheapest(problem, found, cost, [], cost, target, measure), cost


@pytest.mark.parametrize("misjudged", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("bound", [4e-3, 0.02, 0.2])
def test_the_cheapest_that_keeps_the_target(bound, misjudged):
    # the truth is the sum times a factor: then the best is that of the sum within bound / factor, found by trying all
    problem = made_up(2, 2, (2, 3, 4, 5, 6, 8))
    found = halving(problem, {"weight 0": 30.0, "feature 1": 3.0})
    steps, _ = searched(problem, found, Target("error", bound), lambda each: misjudged * total(found, each))
    met = [step for step in steps if step.met]
    names = list(problem.bit_widths)
    best = min(
        sum(chosen)
        for chosen in np.ndindex(9, 9, 9, 9)
        if all(width in (2, 3, 4, 5, 6, 8) for width in chosen)
        and misjudged * total(found, dict(zip(names, chosen, strict=True))) <= bound
    )
    assert min(step.cost for step in met) == best
    assert all(step.found <= bound for step in met)
    assert len(steps) <= 14


def test_a_target_out_of_reach_takes_one_measurement():
    problem = made_up()
    steps, _ = searched(problem, halving(problem, {}), Target("cosine", 0.99), lambda each: 0.5)
    assert len(steps) == 1
    assert not steps[0].met
    assert set(steps[0].allotment.values()) == {8}


def test_a_target_that_the_most_precise_just_misses_is_reached_by_one_that_is_nearly_so():
    """What is predicted to be the most precise need not measure so."""
    problem = made_up()
    found = halving(problem, {f"feature {i}": 1e-4 for i in range(3)})

    def measure(allotment):
        return 0.2 if set(allotment.values()) == {8} else total(found, allotment)

    steps, _ = searched(problem, found, Target("error", 1e-2), measure)
    assert not steps[0].met
    assert any(step.met for step in steps)
    cheapest_met = min((step for step in steps if step.met), key=lambda step: step.cost)
    assert total(found, cheapest_met.allotment) <= 1e-2


def test_a_target_that_the_cheapest_keeps_takes_two_measurements():
    problem = made_up()
    steps, _ = searched(problem, halving(problem, {}), Target("cosine", 0.99), lambda each: 0.999)
    assert [step.met for step in steps] == [True, True]
    assert set(steps[-1].allotment.values()) == {2}


def test_a_target_by_a_metric_of_another_kind():
    problem = made_up()
    found = halving(problem, {})
    steps, cost = searched(problem, found, Target("cosine", 0.995), lambda each: 1.0 - total(found, each) / 2)
    best = min((step for step in steps if step.met), key=lambda step: step.cost)
    assert 2 * (1 - best.found) == pytest.approx(total(found, best.allotment))
    assert best.found >= 0.995
    assert value(cost, problem.bit_widths, best.allotment) < 48


# --- on a network


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drafter")
    graph = Graph(onnx.shape_inference.infer_shapes(tiny_classifier()))
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    statistics = collect(graph.model, ((str(i), dict(feeds)) for i, feeds in enumerate(PICTURES)))
    problem = find_problem(graph, config, {}, CostModel(), allow_float=True)
    images = NetworkInput("images", (1, 3, 16, 16), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    pipeline = Pipeline(config, Network(graph, statistics), {}, images, folder, folder)
    simulation = Simulation(graph.model, lambda: PICTURES, keep=True)
    return problem, Verifier(problem, pipeline, dict, simulation), simulation


def relative(expected, actual):
    wide = expected.astype(np.float64)
    return ((actual - wide) ** 2).mean() / wide.var()


def test_a_uniform_allotment_errs_as_the_quantized_network_does(tuned):
    problem, verifier, _ = tuned
    # QDQ beside integers: within rounding of each other
    reference = Runner(tiny_classifier())
    qdq = Runner(quantized_network(tiny_classifier(), PICTURES, soc_config("t40"), feature_bits=4).qdq, optimize="none")
    wanted = np.mean([relative(reference.run(p)["logits"], qdq.run(p)["logits"]) for p in PICTURES])
    assert verifier.error(problem.uniform(4, 8)) == pytest.approx(wanted, rel=0.3)


def test_float_alone_has_no_error(tuned):
    problem, verifier, _ = tuned
    assert verifier.error(dict.fromkeys(problem.bit_widths, 32)) < 1e-10


def test_a_class_alone_leaves_the_rest_in_float(tuned):
    problem, verifier, simulation = tuned
    allotment = problem.uniform(8, 2)
    found = verifier.classes(allotment)
    assert set(found) == {("feature", 8), ("weight", 2)}
    # 2-bit weights alone make nearly all of the error, 8-bit features next to none
    assert found["weight", 2] == pytest.approx(verifier.error(allotment), rel=0.2)
    assert found["feature", 8] < found["weight", 2] / 100
    alone = dict.fromkeys(problem.bit_widths, 32) | {
        name: 2 for name in problem.bit_widths if name.startswith("weight")
    }
    assert simulation.error(verifier.candidate(alone)) == pytest.approx(found["weight", 2], rel=0.2)


def test_cosine_and_error_of_the_same_draft_agree(tuned):
    problem, verifier, simulation = tuned
    candidate = verifier.candidate(problem.uniform(8, 8))
    metric = Metric(simulation, labels=None)
    cosine = metric.of(candidate)
    angle = math.acos(cosine)
    assert 0 < angle < 0.1
    assert metric.of(verifier.candidate(problem.uniform(4, 2))) < cosine


def test_accuracy_counts_both_networks(tuned):
    problem, verifier, simulation = tuned
    labels = [int(Runner(tiny_classifier()).run(picture)["logits"].argmax()) for picture in PICTURES]
    labels[0] = (labels[0] + 1) % 3
    metric = Metric(simulation, labels)
    assert (metric.of(verifier.candidate(problem.uniform(8, 8))), metric.of_float()) == (2 / 3, 2 / 3)
