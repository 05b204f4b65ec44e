import math

import numpy as np
import onnx
import pytest

from stages.autotune.allocation.problem import find_problem
from stages.autotune.verifier import Verifier
from stages.core.config.schema import Color, Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.statistics.collect import collect
from stages.evaluate.scores import ClassificationScore
from stages.evaluate.scoring import Scoring
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline
from stages.quantize.simulation import Simulation
from stages.search.candidate_metric import ACCURACY, COSINE, FIDELITY, CandidateMetric, Picture
from tests.networks import quantized_network, relative_error, soc_config, tiny_classifier

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verifier")
    graph = Graph(onnx.shape_inference.infer_shapes(tiny_classifier()))
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    statistics = collect(graph.model, ((str(i), dict(feeds)) for i, feeds in enumerate(PICTURES)))
    problem = find_problem(graph, config, {}, CostModel(), allow_float=True)
    images = NetworkInput("images", (1, 3, 16, 16), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    pipeline = Pipeline(config, Network(graph, statistics), {}, images, folder, folder)
    simulation = Simulation(graph.model, lambda: PICTURES, keep=True)
    return problem, Verifier(problem, pipeline, dict, simulation), simulation


def test_a_uniform_allocation_errs_as_the_quantized_network_does(tuned):
    problem, verifier, _ = tuned
    # QDQ beside integers: within rounding of each other
    reference = Runner(tiny_classifier())
    qdq = Runner(quantized_network(tiny_classifier(), PICTURES, soc_config("t40"), feature_bits=4).qdq, optimize="none")
    wanted = relative_error(*([side.run(picture)["logits"] for picture in PICTURES] for side in (reference, qdq)))
    assert verifier.error(problem.uniform(4, 8)) == pytest.approx(wanted, rel=0.3)


def test_float_alone_has_no_error(tuned):
    problem, verifier, _ = tuned
    assert verifier.error(dict.fromkeys(problem.bit_widths, 32)) < 1e-10


def test_a_class_alone_leaves_the_rest_in_float(tuned):
    problem, verifier, simulation = tuned
    allocation = problem.uniform(8, 2)
    errors = verifier.class_errors(allocation)
    assert set(errors) == {("feature", 8), ("weight", 2)}
    # 2-bit weights alone make nearly all of the error, 8-bit features next to none
    assert errors["weight", 2] == pytest.approx(verifier.error(allocation), rel=0.2)
    assert errors["feature", 8] < errors["weight", 2] / 100
    alone = dict.fromkeys(problem.bit_widths, 32) | {
        name: 2 for name in problem.bit_widths if name.startswith("weight")
    }
    assert simulation.error(verifier.candidate(alone)) == pytest.approx(errors["weight", 2], rel=0.2)


def test_cosine_and_error_of_the_same_candidate_agree(tuned):
    problem, verifier, simulation = tuned
    candidate = verifier.candidate(problem.uniform(8, 8))
    metric = CandidateMetric(COSINE, simulation)
    cosine = metric.of(candidate)
    angle = math.acos(cosine)
    assert 0 < angle < 0.1
    assert metric.of(verifier.candidate(problem.uniform(4, 2))) < cosine


def test_fidelity_and_error_of_the_same_candidate_agree(tuned):
    problem, verifier, simulation = tuned
    candidate = verifier.candidate(problem.uniform(8, 8))
    assert CandidateMetric(FIDELITY, simulation).of(candidate) == pytest.approx(
        math.sqrt(1 - simulation.error(candidate))
    )
    # two-bit weights err by more than the output varies
    assert CandidateMetric(FIDELITY, simulation).of(verifier.candidate(problem.uniform(4, 2))) == 0


def test_accuracy_counts_both_networks(tuned):
    problem, verifier, simulation = tuned
    labels = [int(Runner(tiny_classifier()).run(picture)["logits"].argmax()) for picture in PICTURES]
    labels[0] = (labels[0] + 1) % 3
    pictures = [Picture(str(i), None) for i in range(3)]
    metric = CandidateMetric(ACCURACY, simulation, pictures, Scoring(lambda: ClassificationScore(labels)))
    assert (metric.of(verifier.candidate(problem.uniform(8, 8))), metric.of_float()) == (2 / 3, 2 / 3)
