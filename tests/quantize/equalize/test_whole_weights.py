"""Factors where one scale serves a whole weight."""

import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.statistics.collect import collect
from stages.quantize.equalize.channel_samples import channel_quantiles
from stages.quantize.equalize.channel_ties import Channels
from stages.quantize.equalize.cross_layer import equalize_whole
from stages.quantize.equalize.expected_noise import Clipping, Noise
from tests.export.graphs import graph_model, node

RNG = np.random.default_rng(3)
SPREAD = np.array([1.0, 1.0, 8.0, 1.0, 2.0, 1.0])
"""Of the depthwise weights: the third channel's are large, and what it takes is small."""


def network():
    constants = {
        "w1": RNG.normal(0, 0.4, (6, 3, 1, 1)) / SPREAD.reshape(6, 1, 1, 1),
        "w2": RNG.uniform(0.2, 0.4, (6, 1, 3, 3)) * SPREAD.reshape(6, 1, 1, 1) / 2,
        "w3": RNG.normal(0, 0.5, (4, 6, 1, 1)),
        "low": np.float32(0),
        "high": np.float32(6),
    }
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "first"),
        node("Clip", ["a", "low", "high"], ["b"], "first_clip"),
        node("Conv", ["b", "w2"], ["c"], "middle", pads=[1, 1, 1, 1], group=6),
        node("Clip", ["c", "low", "high"], ["d"], "middle_clip"),
        node("Conv", ["d", "w3"], ["y"], "last"),
    ]
    return onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": (1, 3, 8, 8)}, ["y"], constants))


def pictures(count=8):
    return [{"x": np.random.default_rng(seed).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)} for seed in range(count)]


def equalized(model):
    statistics = collect(model, ((str(index), feeds) for index, feeds in enumerate(pictures())))
    return equalize_whole(model, statistics, pictures())


def weight_of(model, name):
    return np.asarray(Graph(model).constant(next(each.input[1] for each in model.graph.node if each.name == name)))


def largest(weight):
    return np.abs(weight).reshape(len(weight), -1).max(axis=1)


def test_weights_of_a_depthwise_layer_become_alike():
    model = network()
    before, after = (largest(weight_of(each, "middle")) for each in (model, equalized(model).model))
    assert after.max() / np.median(after) < 0.6 * before.max() / np.median(before)


def test_one_scale_a_weight_costs_less_then():
    """With weights of six bits, to see them alone: what the outputs are off."""
    model = network()
    expected = np.stack([Runner(model).run(feeds)["y"] for feeds in pictures()])

    def error(each):
        rounded = onnx.ModelProto()
        rounded.CopyFrom(each)
        for tensor in rounded.graph.initializer:
            if tensor.name.startswith("w"):
                values = onnx.numpy_helper.to_array(tensor)
                scale = np.abs(values).max() / 31
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.rint(values / scale) * scale, tensor.name))
        actual = np.stack([Runner(rounded).run(feeds)["y"] for feeds in pictures()])
        return float(np.square(actual - expected).sum())

    assert error(equalized(model).model) < 0.7 * error(model)


def test_a_clip_ties_and_keeps_its_bound():
    model = network()
    channels = Channels(Graph(model), through_clips=True)
    np.testing.assert_array_equal(channels.of("a"), channels.of("b"))
    assert channels.clips == {"b": ("a", 6.0), "d": ("c", 6.0)}
    assert Channels(Graph(model)).fixed[channels.of("b")].all()
    clip = next(each for each in equalized(model).model.graph.node if each.name == "middle_clip")
    assert float(np.asarray(Graph(model).constant(clip.input[2]))) == 6.0


def test_quantiles_are_each_channels_own():
    model, fed = network(), pictures(2)
    found = channel_quantiles(model, ["a"], fed)["a"]
    values = np.concatenate(
        [Runner(onnx.utils.Extractor(model).extract_model(["x"], ["a"])).run(each)["a"] for each in fed]
    )
    np.testing.assert_allclose(found[0], values.min(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found[-1], values.max(axis=(0, 2, 3)), rtol=1e-6)
    assert np.all(np.diff(found, axis=0) >= 0)


NOISE = Noise(
    np.log([1.0, 3.0, 0.5, 2.9]), np.array([0, 1, 2, 0]), np.array([[3, 4, 3, 4], [5, 6, 5, 6]]),
    np.array([[0.3, 0.7]]), np.array([[3, 4]]), np.array([[1.0, 2.0, 0.5]]), np.array([[0, 1, 2]]),
)  # fmt: skip
CLIPPING = Clipping(
    np.array([[-1.0, 2.0], [3.0, 7.0], [5.5, 30.0]]), np.full((3, 1), 1 / 3), 6.0, np.array([1.0, 0.2]),
    np.array([0, 1]), np.array([5, 6]),
)  # fmt: skip


@pytest.mark.parametrize("term", [NOISE, CLIPPING])
def test_gradients_are_those_of_the_errors(term):
    u = np.array([0.3, -0.2, 0.1, 0.4, -0.3, 0.2, 0.15, 0.0])
    gradient, step = np.zeros(8), 1e-6
    term.add(u, gradient)
    for index in range(8):
        ends = [term.add(u + sign * step * (np.arange(8) == index), np.zeros(8)) for sign in (1, -1)]
        assert gradient[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-8)


def test_clipping_by_hand():
    """At the factor 1 nothing changes; at one half what is above 3 is cut off there."""
    assert CLIPPING.add(np.zeros(8), np.zeros(8)) == 0.0
    u = np.zeros(8)
    u[0] = np.log(0.5)
    assert CLIPPING.add(u, np.zeros(8)) == pytest.approx(((5.5 - 3.0) ** 2) / 3)
