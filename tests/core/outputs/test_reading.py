import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.core.graph.onnx_graph import Graph
from stages.core.outputs.output_error import NetworkError, Variations
from stages.core.outputs.output_judge import OutputJudge
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.reading import Reading, may_be_logits
from stages.quantize.simulation import BothOutputs, Simulation


def places(channels=3):
    """A network whose output has one value for each of 64 places."""
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 8, 8])]
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])]
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], name="mean")
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    return helper.make_model(
        helper.make_graph([node], "g", value, output, [axes]), opset_imports=[helper.make_opsetid("", 18)]
    )


def pictures(far=-4000.0, found=2.0, shift=0.0):
    """Places at -4, one far below 0, one found in another place of each picture."""
    made = []
    for index in range(4):
        values = np.full((1, 1, 8, 8), -4.0, np.float32)
        values[0, 0, 0, 0], values[0, 0, 1, index] = far, found
        made.append({"y": values + np.float32(shift)})
    return made


def errors_of(expected, actual, network=None, variations=None):
    error = NetworkError(parts_of_outputs(Graph(network or places())), variations)
    for values, others in zip(expected, actual, strict=True):
        error.add(values, others)
    return error


def test_a_probability_is_the_sigmoid_of_a_logit():
    logits = np.array([0.0, np.log(3.0), -np.log(3.0), -5000.0, np.inf, np.nan], np.float32)
    np.testing.assert_allclose(Reading.sigmoid.of(logits), [0.5, 0.75, 0.25, 0.0, np.inf, np.nan], rtol=1e-6)
    assert Reading.values.of(logits) is logits


@pytest.mark.parametrize(
    ("shape", "may_be"),
    [
        ((1, 1, 8, 8), True),
        ((1, 64, 1), True),
        ((64, 1), True),
        ((1, 2, 8, 8), False),
        ((1, 63, 1), False),
        ((64,), False),
    ],
)
def test_one_value_for_each_of_many_places(shape, may_be):
    assert may_be_logits(shape) is may_be


def test_where_nothing_is_far_below_0_any_more_nothing_is_lost():
    error = errors_of(pictures(), pictures(far=-400.0))
    assert error.reading("y") is Reading.sigmoid
    assert error.worst() == pytest.approx(0.0, abs=1e-12)


def test_scores_that_are_lost_are_an_error_however_little_they_are_beside_the_lowest():
    """Of the values themselves the error would be a millionth of the variance."""
    lost = errors_of(pictures(), pictures(found=-4.0)).worst()
    likely = 1 / (1 + np.exp(-np.array([2.0, -4.0])))
    step = likely[0] - likely[1]
    # each of 4 places is found in one picture of 4: squared error step^2 of each picture, variance 4 * 3/16 * 4/3 of it
    assert lost == pytest.approx(4 * step**2 / (4 * (4 / 3) * (3 / 16) * 4 * step**2), rel=1e-4)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (places(channels=4), pictures()),  # takes no picture
        (places(), pictures(shift=5.0)),  # nearly all values are above 0
        (places(), pictures(found=-3.0)),  # nothing is ever found
    ],
)
def test_other_values_are_read_as_they_are(network, expected):
    error = errors_of(expected, expected, network)
    assert error.reading("y") is Reading.values


def test_what_is_known_beforehand_gives_the_same_error():
    network = Graph(places())
    variations = Variations.of(parts_of_outputs(network), ((each, {}) for each in pictures()))
    actual = pictures(found=1.0)
    assert errors_of(pictures(), actual, None, variations).mean() == errors_of(pictures(), actual).mean()


def test_the_search_measures_what_the_judge_measures():
    """Of `quant=best` and `bisect`, which ask a simulation, and of compare."""
    actual = pictures(found=1.0)
    judge = OutputJudge(parts_of_outputs(Graph(places())), None, 8)
    for values, others in zip(pictures(), actual, strict=True):
        judge.add(values, others)
    (judged,) = judge.judgements()
    simulation = Simulation(places(), lambda: [])
    assert judged.kind is OutputKind.logits
    fed = [{}] * len(actual)
    assert simulation.fidelity(map(BothOutputs, pictures(), actual, fed)) == pytest.approx(judged.fidelity)
    assert simulation.fidelity(map(BothOutputs, pictures(), pictures(found=-4.0), fed)) < 0.5
