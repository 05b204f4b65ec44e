"""A network that tells five shades apart in 0..1, and what its answers say of each range."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.init.guess.guess import Sure
from stages.init.guess.normalizations import RANGES, applied
from stages.init.guess.ranges import Clues, guess_range
from stages.init.guess.trials import Trials
from stages.init.network.read_network import ReadNetwork

UNIT, IMAGENET, SIGNED, PIXELS, CAFFE = RANGES
SHADES, SIDE = 5, 8


def shade_classifier(weights=(1.0, 1.0, 1.0)):
    """Class k is likeliest where the mean of the weighted channels is k/4: scores 600 (2 c m - c^2), c = k/4."""
    centres = np.arange(SHADES) / (SHADES - 1)
    constants = {
        "kernel": np.float32(weights).reshape(1, 3, 1, 1) / 3,
        "slopes": np.float32(1200 * centres).reshape(1, SHADES),
        "offsets": np.float32(-600 * centres**2),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["grey"]),
        helper.make_node("GlobalAveragePool", ["grey"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Gemm", ["mean", "slopes", "offsets"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "shades",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, SHADES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def network(**options):
    picture = NetworkInput("x", (1, 3, SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    return ReadNetwork(shade_classifier(**options), [picture], None, [], [])


def pictures(*color):
    """Two pictures of each shade, of a colour."""
    shades = np.repeat(np.linspace(0, 255, SHADES), 2)
    return [np.broadcast_to(np.uint8(shade * np.array(color or (1, 1, 1))), (SIDE, SIDE, 3)) for shade in shades]


def test_the_range_of_training_says_most():
    trials = Trials(network(), pictures())
    assert trials.answers(UNIT, Color.RGB) == pytest.approx(np.log(SHADES), rel=0.01)
    assert trials.answers(PIXELS, Color.RGB) < trials.answers(UNIT, Color.RGB) / 2
    known = guess_range(Clues(None, None, None, trials, False))
    assert (known.normalization, known.sure) == (UNIT, Sure.medium)


def test_colours_are_exchanged_for_bgr():
    trials = Trials(network(weights=(3.0, 0.0, 0.0)), pictures(1, 0, 0))  # sees the first channel alone
    assert trials.answers(UNIT, Color.RGB) > 1.5
    assert trials.answers(UNIT, Color.BGR) == pytest.approx(0.0, abs=1e-9)


def test_without_batch_norms_and_labels_there_is_no_such_evidence():
    trials = Trials(network(), pictures())
    assert trials.misfit(UNIT, Color.RGB) is None
    assert trials.order_by_norms(UNIT) is None
    assert not trials.likelihoods(UNIT, Color.RGB).size
    assert trials.detector is None


def test_batch_norms_tell_the_range_and_the_order():
    """The first convolution's output stands in for a batch norm that saw the red of shades in 0..1."""
    reds = np.linspace(0, 1, SHADES)
    norm = {"tensor": "grey", "mean": [float(reds.mean())], "deviation": [float(reds.std())]}
    read = network(weights=(3.0, 0.0, 0.0))
    trials = Trials(ReadNetwork(read.model, read.inputs, None, [norm], []), pictures(1, 0.2, 0.1))
    assert trials.misfit(UNIT, Color.RGB) == pytest.approx(0.0, abs=1e-4)
    assert trials.misfit(SIGNED, Color.RGB) > 1.0
    known = guess_range(Clues(None, None, None, trials, False))
    assert (known.normalization, known.sure) == (UNIT, Sure.high)
    assert applied(UNIT, read.inputs[0], Color.BGR).normal == (255.0,) * 3


def test_a_network_that_gives_its_picture_back_is_most_like_it_in_its_own_range():
    nodes = [helper.make_node("Clip", ["x", "low", "high"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    ends = [numpy_helper.from_array(np.float32(end), name) for name, end in (("low", 0), ("high", 1))]
    graph = helper.make_graph(nodes, "clip", inputs, outputs, ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    noise = [np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for seed in range(3)]
    trials = Trials(ReadNetwork(model, network().inputs, None, [], []), noise)
    assert trials.likeness(RANGES[0], Color.RGB) == pytest.approx(1.0)
    assert trials.likeness(RANGES[3], Color.RGB) < 0.5
    assert Trials(network(), pictures()).likeness(RANGES[0], Color.RGB) is None
