"""The error that candidates are compared by."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.quantize.simulation import Simulation
from tests.networks import relative_error, soc_config
from tests.quantize.candidates import candidate_of

RNG = np.random.default_rng(3)
PICTURES = [{"x": RNG.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(3)]


def boxes_and_scores():
    """A head whose boxes are ten thousand times as large as its scores."""
    sizes = {"boxes": 1e4, "scores": 1.0}
    weights = {name: RNG.normal(0, size, (4, 4, 1, 1)).astype(np.float32) for name, size in sizes.items()}
    nodes = [helper.make_node("Conv", ["x", f"{name}_w"], [name], f"{name}_conv") for name in sizes]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in sizes],
        [numpy_helper.from_array(values, f"{name}_w") for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_every_output_counts_relative_to_itself():
    """Only the scores' weights are quantized: their error is half of the mean, however small the scores are."""
    model = boxes_and_scores()
    candidate = candidate_of(model, PICTURES, soc_config("t40"), weight_bits=2)
    codes, params = candidate.codes["scores_conv"], candidate.weights["scores_conv"]
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    scales = np.float32(params.scales).reshape(-1, 1, 1, 1)
    rounded.graph.initializer[1].CopyFrom(numpy_helper.from_array((codes * scales).astype(np.float32), "scores_w"))
    error = relative_error(*([Runner(each).run(given)["scores"] for given in PICTURES] for each in (model, rounded)))
    simulation = Simulation(model, lambda: PICTURES)
    assert simulation.part_error(candidate, (), ["scores_conv"]) == pytest.approx(error / 2, rel=1e-4)
    assert error > 0.05


def test_the_fidelity_is_that_of_the_worst_output():
    model = boxes_and_scores()
    candidate = candidate_of(model, PICTURES, soc_config("t40"), weight_bits=2)
    simulation = Simulation(model, lambda: PICTURES)
    pairs = [*simulation.simulated(candidate)]
    errors = [
        relative_error([expected[name] for expected, _, _ in pairs], [actual[name] for _, actual, _ in pairs])
        for name in ("boxes", "scores")
    ]
    assert simulation.fidelity(pairs) == pytest.approx(np.sqrt(1 - max(errors)))
    assert simulation.error(candidate) == pytest.approx(np.mean(errors))
    assert max(errors) > 1.01 * min(errors)
