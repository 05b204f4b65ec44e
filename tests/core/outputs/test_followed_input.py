"""Outputs that follow an input are judged by what is changed of it."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.core.outputs.followed_input import FollowedInput
from stages.core.outputs.output_error import NetworkError, Variations, fidelity
from stages.core.outputs.output_judge import Level, OutputJudge
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import OutputParts
from stages.quantize.simulation import BothOutputs, Simulation

SHAPE = (1, 3, 16, 16)


def pictures(count=8, seed=0):
    """Smooth pictures of deviation 1: [1, 3, 16, 16] each."""
    rng = np.random.default_rng(seed)
    return [np.kron(rng.normal(size=(1, 3, 4, 4)), np.ones((4, 4))).astype(np.float32) for _ in range(count)]


def noise(deviation, count=8, shape=SHAPE, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, deviation, shape).astype(np.float32) for _ in range(count)]


def judged(expected, actual, fed, kind=OutputKind.values):
    judge = OutputJudge({"y": OutputParts.whole(expected[0].size)}, {"y": kind})
    for values, others, given in zip(expected, actual, fed, strict=True):
        judge.add({"y": values}, {"y": others}, {"x": given})
    (judgement,) = judge.judgements()
    return judgement


def sums(*each):
    return [sum(parts[1:], parts[0]) for parts in zip(*each, strict=True)]


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (255.0, -3.0)])
def test_a_network_that_cleans_is_judged_by_what_it_takes_away(gain, offset):
    """Noise of 0.1 taken away with an error of 0.08: of the pictures' own variation 8 %, of the noise's 80 %."""
    clean, wrong = pictures(), noise(0.08, seed=2)
    noisy = [gain * values + offset for values in sums(clean, noise(0.1))]
    found = judged(clean, sums(clean, wrong), noisy)
    assert found.changes_input
    assert found.fidelity == pytest.approx((1 - 0.8**2) ** 0.5, abs=0.02)
    assert found.level is Level.broken
    assert judged(clean, sums(clean, noise(0.01, seed=2)), noisy).level is Level.good


def test_one_that_enlarges_is_judged_by_the_detail_it_adds():
    small = pictures()
    large = [np.kron(values, np.ones((2, 2))).astype(np.float32) for values in small]
    detail = sums(large, noise(0.3, shape=(1, 3, 32, 32)))
    found = judged(detail, sums(detail, noise(0.3, shape=(1, 3, 32, 32), seed=2)), small)
    assert found.changes_input
    assert found.level is Level.broken
    assert not judged(detail, detail, pictures(seed=3)).changes_input


def test_what_hands_its_input_on_is_judged_by_its_variation():
    given = pictures()
    found = judged([2 * values for values in given], sums([2 * values for values in given], noise(0.02)), given)
    assert (found.changes_input, found.level) == (False, Level.good)


def test_searches_measure_what_the_judge_measures():
    """autotune, with variations that it knows; `quant=best` and bisect, which ask a simulation."""
    clean, wrong = pictures(), noise(0.05, seed=2)
    noisy = sums(clean, noise(0.1))
    expected, actual, fed = (
        [{name: each} for each in of] for name, of in zip("yyx", (clean, sums(clean, wrong), noisy), strict=True)
    )
    fidelity_judged = judged(clean, sums(clean, wrong), noisy).fidelity
    parts = {"y": OutputParts.whole(clean[0].size)}
    known = NetworkError(parts, Variations.of(parts, zip(expected, fed, strict=True)))
    for values, others in zip(expected, actual, strict=True):
        known.add(values, others)
    assert fidelity(known.worst()) == pytest.approx(fidelity_judged)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], "same")], "same", info[:1], info[1:])
    simulation = Simulation(helper.make_model(graph), lambda: fed)
    assert simulation.fidelity(map(BothOutputs, expected, actual, fed)) == pytest.approx(fidelity_judged)
    assert fidelity_judged < 0.9


def test_a_state_does_not_follow():
    clean = pictures()
    noisy = sums(clean, noise(0.1))
    assert not judged(clean, sums(clean, noise(0.08)), noisy, OutputKind.state).changes_input


def test_each_part_of_an_output_follows_by_itself():
    """The first half is the input and noise of 0.1, the second is unlike it."""
    rng = np.random.default_rng(4)
    followed = FollowedInput(OutputParts(["a", "b"], np.arange(200), np.array([0, 100]), 200))
    for _ in range(50):
        given = rng.normal(size=(1, 200)).astype(np.float32)
        other = rng.normal(size=(1, 100))
        values = np.concatenate([given[:, :100] + 0.1 * rng.normal(size=(1, 100)), other], 1).astype(np.float32)
        followed.add(values, {"size": np.ones((1, 2), np.float32), "x": given})
    assert followed.changes(np.ones(2)) == pytest.approx([0.01, 0.0], rel=0.1)


def test_without_an_input_of_its_shape_nothing_follows():
    followed = FollowedInput(OutputParts.whole(27))
    followed.add(np.ones((1, 3, 3, 3), np.float32), {"x": np.ones((1, 3, 2, 2), np.float32)})
    assert followed.changes(np.array([4.0])) == [0.0]
