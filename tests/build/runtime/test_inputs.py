"""Networks with several inputs in the runtime: it is fed what is stored, and makes the simulator's bytes."""

import numpy as np
import pytest

from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.graph.session import Runner
from stages.core.integer.dumps import dump_names
from stages.core.integer.simulator import simulator_model
from stages.infer.precise import precise
from tests.build.runtime.programs import dumps, expected_dumps, model_file
from tests.core.integer.nets import Net
from tests.networks import picture_and_state, quantized_network, soc_config, two_cameras


def picture(name, height, width):
    return NetworkInput(name, (1, 3, height, width), (120.0, 116.5, 103.0), (60.0, 57.5, 64.0), Color.BGR)


CASES = {
    "two pictures": (two_cameras, [picture("wide", 12, 20), picture("near", 8, 8)]),
    "picture and state": (
        picture_and_state, [picture("image", 8, 8), NetworkInput("state", (1, 6), (0.0,) * 6, (1.0,) * 6, Color.RGB)],
    ),
    "state with a mean a channel": (
        picture_and_state,
        [picture("image", 8, 8), NetworkInput("state", (1, 6), tuple(range(6)), (0.5, 1.5, 2.5) * 2, Color.RGB)],
    ),
}  # fmt: skip


def drawn(entry, rng):
    """What is stored of an input: pixels, or numbers."""
    if entry.takes_picture:
        return rng.integers(0, 256, entry.sample_shape, dtype=np.uint8)
    return rng.normal(2, 2, entry.sample_shape).astype(np.float32)


@pytest.mark.parametrize("soc", ["t41", "bm1684x"])
@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_the_simulator_s(debug, case, soc):
    network, inputs = CASES[case]
    rng = np.random.default_rng(0)
    samples = [{info.name: drawn(info, rng) for info in inputs} for _ in range(4)]
    fed = [feeds(sample, inputs) for sample in samples]
    model = quantized_network(network(), fed, soc_config(soc)).integer
    simulator = Runner(simulator_model(precise(model), list(dump_names(model)), codes=True), optimize="safe")
    content = model_file(model, inputs)
    for sample, each in zip(samples, fed, strict=True):
        # given as stored, a picture as [1, 3, H, W]: `dumps` turns that back
        stored = [sample[e.name].transpose(2, 0, 1)[None] if e.takes_picture else sample[e.name] for e in inputs]
        actual = dumps(debug, content, stored)
        for name, expected in expected_dumps(model, simulator.run(each)).items():
            assert actual[name] == expected, name


def test_a_tensor_has_a_mean_a_channel_wherever_its_channels_lie(debug):
    """By hand: channel c of [1, 3, 4], axis 1, becomes (x - 10c) / (c + 1)."""
    net = Net()
    net.inputs["x"] = [1, 3, 4]
    net.plain("Relu", ["x"], "y")
    entry = NetworkInput("x", (1, 3, 4), (0.0, 10.0, 20.0), (1.0, 2.0, 3.0), Color.RGB)
    x = np.array([[[1, -1, 2, 3], [11, 9, 14, 10], [23, 26, 0, 20]]], np.float32)
    model = net.model({"x": x, "y": x})
    actual = np.frombuffer(dumps(debug, model_file(model, [entry]), [x])["output_0.bin"], "<f4")
    np.testing.assert_array_equal(actual.reshape(3, 4), [[1, 0, 2, 3], [0.5, 0, 2, 0], [1, 2, 0, 0]])
