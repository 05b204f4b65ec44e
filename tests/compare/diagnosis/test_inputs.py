from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from onnx import TensorProto, helper, numpy_helper

from stages.compare.diagnosis.inputs import (
    Labelled,
    Standardized,
    Way,
    Witness,
    alternatives,
    clearly_better,
    contrast_misfit,
    input_finding,
    inputs_override,
    log_likelihoods,
    misfit,
    search,
    surely_likelier,
)
from stages.core.config.schema import Color, InputConfig
from stages.core.data.inputs import NetworkInput

TRAINED = NetworkInput("x", (1, 3, 12, 12), (127.0,) * 3, (128.0,) * 3, Color.RGB)


def no_labels():
    return None


def standardized(means, squares=None):
    means = np.array(means, dtype=np.float64)
    return Standardized(means, means**2 if squares is None else np.array(squares, dtype=np.float64))


def pictures(count, seed):
    """Pictures of red ground and dark blue, uint8 [12, 12, 3], of different brightness."""
    rng = np.random.default_rng(seed)
    level = np.array([150.0, 110.0, 70.0])
    shots = (level * rng.uniform(0.8, 1.2) + rng.normal(0, 45, (12, 12, 3)) for _ in range(count))
    return [np.clip(shot, 0, 255).astype(np.uint8) for shot in shots]


def network(seed):
    """A 1x1 convolution to 16 channels, `c`, and their means over the picture as logits, `y`; its weight."""
    rng = np.random.default_rng(seed)
    value = rng.normal(0, 1, (16, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flat"),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 12, 12])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])]
    graph = helper.make_graph(nodes, "g", infos, outputs, [numpy_helper.from_array(value, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), value[:, :, 0, 0]


def training(weight, seed):
    """What a batch norm behind the convolution saw in training, on other pictures, fed as `TRAINED`."""
    pixels = (np.array(pictures(64, seed), dtype=np.float64).reshape(-1, 3) - 127) / 128
    made = pixels @ weight.T.astype(np.float64)
    return [{"tensor": "c", "mean": made.mean(axis=0).tolist(), "deviation": made.std(axis=0).tolist()}]


def stored(samples, entry):
    """Samples as calibset stores them for an input of that colour."""
    return [sample[:, :, ::-1] if entry.color is Color.BGR else sample for sample in samples]


def changed(color=Color.RGB, mean=127.0, normal=128.0):
    return replace(TRAINED, color=color, mean=(mean,) * 3, normal=(normal,) * 3)


@pytest.mark.parametrize(
    "wrong",
    [
        changed(Color.BGR),
        changed(mean=0.0, normal=255.0),
        changed(mean=0.0, normal=1.0),
        changed(Color.BGR, 0.0, 1.0),
    ],
    ids=str,
)
def test_a_planted_fault_is_found_by_the_batch_norms(wrong):
    model, weight = network(0)
    way, samples = Way(wrong), stored(pictures(12, 5), wrong)
    witness = Witness(model, training(weight, 9), samples, no_labels)
    found = search(way, witness)
    assert found.entry.color is Color.RGB
    np.testing.assert_allclose(found.entry.mean, 127.5, atol=0.6)  # 127, 127.5 and 128 cannot be told apart
    (finding,) = input_finding(way, found, witness, [InputConfig("x", [1, 3, 12, 12])])
    assert finding.effect.after < 0.1 < finding.effect.before
    assert finding.cure.startswith("model.inputs=[{name: x, shape: [1, 3, 12, 12], mean: [12")
    assert finding.cure.endswith("color: RGB}]")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("entry", [TRAINED, replace(TRAINED, color=Color.BGR)], ids=["RGB", "BGR"])
def test_a_sound_input_is_left_alone(seed, entry):
    model, weight = network(seed)
    samples = pictures(12, 100 + seed)
    if entry.color is Color.BGR:  # trained on the other order
        norms = training(weight[:, ::-1], 200 + seed)
        samples = stored(samples, entry)
    else:
        norms = training(weight, 200 + seed)
    witness = Witness(model, norms, samples, no_labels)
    assert search(Way(entry), witness) == Way(entry)
    assert input_finding(Way(entry), Way(entry), witness, []) == []


@pytest.mark.parametrize("dim", [0.4, 0.6])
def test_dark_pictures_are_no_wrong_input(dim):
    model, weight = network(1)
    dark = [(sample * dim).astype(np.uint8) for sample in pictures(12, 3)]
    assert search(Way(TRAINED), Witness(model, training(weight, 4), dark, no_labels)) == Way(TRAINED)


def test_too_few_pictures_say_nothing():
    model, weight = network(0)
    witness = Witness(model, training(weight, 0), pictures(7, 1), no_labels)
    assert not witness.able
    assert witness.tried() == []
    assert not Witness(model, [], pictures(12, 1), no_labels).able


def labelled(weight, count=24):
    """Pictures of one strong colour each, labelled with the channel that answers most if fed as trained."""
    rng = np.random.default_rng(0)
    samples = [np.full((12, 12, 3), rng.integers(0, 256, 3), dtype=np.uint8) for _ in range(count)]
    return Labelled(samples, [int((weight @ ((sample[0, 0] - 127.0) / 128.0)).argmax()) for sample in samples])


def test_a_planted_fault_is_found_by_the_labels():
    model, weight = network(2)
    given = labelled(weight)
    wrong = changed(Color.BGR)
    witness = Witness(model, [], [], lambda: Labelled(stored(given.samples, wrong), given.labels))
    found = search(Way(wrong), witness)
    assert (found.entry.color, found.flipped) == (Color.RGB, True)
    (finding,) = input_finding(Way(wrong), found, witness, [])
    assert finding.effect.metric == "log-likelihood of the labels in nats"
    assert " nats, not " in finding.sentence
    assert finding.effect.after > finding.effect.before + 0.1
    assert search(Way(TRAINED), Witness(model, [], [], lambda: given)) == Way(TRAINED)


def test_labels_that_mean_nothing_say_nothing():
    for seed in range(8):
        model, _ = network(seed)
        rng = np.random.default_rng(seed)
        given = Labelled(pictures(12, seed), rng.integers(0, 16, 12).tolist())
        assert search(Way(TRAINED), Witness(model, [], [], partial(replace, given))) == Way(TRAINED)


def test_alternatives():
    entry = replace(TRAINED, mean=(1.0, 2.0, 3.0), normal=(4.0, 5.0, 6.0))
    shown = [str(way) for way in alternatives(Way(entry))]
    assert shown[:2] == ["BGR, mean [3, 2, 1], normal [6, 5, 4]", "BGR, mean [1, 2, 3], normal [4, 5, 6]"]
    assert shown[-1] == "RGB, mean [123.675, 116.28, 103.53], normal [58.395, 57.12, 57.375]"
    assert len(shown) == 8
    assert len(alternatives(Way(TRAINED))) == 6  # itself left out, and both ways to exchange are one
    bgr = alternatives(Way(replace(TRAINED, color=Color.BGR)))
    assert str(bgr[-1]) == "BGR, mean [103.53, 116.28, 123.675], normal [57.375, 57.12, 58.395]"
    grey = replace(TRAINED, shape=(1, 1, 4, 4), mean=(127.0,), normal=(128.0,), color=Color.GRAY)
    assert [way.entry.color for way in alternatives(Way(grey))] == [Color.GRAY] * 4


def test_misfit_by_hand():
    """Channel means over two pictures: 0, 1 and 10, of which the square counts 25; the second norm fits."""
    first = standardized([[1.0, 1.0, 10.0], [-1.0, 1.0, 10.0]])
    assert misfit([first, standardized([[0.0], [0.0]])]) == pytest.approx((0 + 1 + 25) / 3 / 2)


def test_contrast_by_hand():
    """Variances 1 and e^2: logarithms of the deviations 0 and 1."""
    one = standardized([[1.0, 0.0]], [[2.0, np.exp(2.0)]])
    assert contrast_misfit([one]) == pytest.approx(0.5)


def test_an_advantage_of_one_picture_is_none():
    good = standardized(np.zeros((10, 2)))
    even = standardized(np.full((10, 2), 0.5))
    lone = standardized([[5.0, 5.0], *[[0.0, 0.0]] * 9])
    assert clearly_better([even], [good], 3.0)
    assert not clearly_better([lone], [good], 3.0)
    assert not clearly_better([even], [standardized(np.full((10, 2), 0.4))], 1.5)  # does not fit itself
    assert not clearly_better([even], [standardized(np.full((10, 2), 0.3))], 3.0)  # 2.8 times
    assert not clearly_better([], [], 1.5)


def test_how_sure_an_advantage_must_be():
    """Means 1 and 0 in turns: 1/4 better than none; left out one by one 0.198 or 0.309, a standard error of 0.167."""
    good, uneven = standardized(np.zeros((10, 1))), standardized(np.array([[1.0], [0.0]] * 5))
    assert clearly_better([uneven], [good], 3.0, 1.45)
    assert not clearly_better([uneven], [good], 3.0, 1.55)


def test_likelihoods():
    flat = np.zeros((2, 4))
    np.testing.assert_allclose(log_likelihoods(flat, [0, 3]), np.log(0.25))
    sure = np.array([[8.0, 0.0], [0.0, 8.0]])
    np.testing.assert_allclose(log_likelihoods(sure, [0, 1]), log_likelihoods(sure * 4, [0, 1]), atol=1e-6)
    even = np.array([[2.0, 0.0], [2.0, 0.0]])  # half right: no better than guessing
    assert log_likelihoods(even, [0, 1]).sum() == pytest.approx(-2 * np.log(2))
    chances = np.array([[0.75, 0.25], [0.25, 0.75]])
    np.testing.assert_allclose(log_likelihoods(chances, [0, 1]), log_likelihoods(np.log(chances), [0, 1]), atol=1e-9)


def test_values_that_are_no_numbers_are_as_wrong_as_can_be():
    assert misfit([standardized([[np.nan, np.inf, 0.0]])]) == pytest.approx(50 / 3)
    np.testing.assert_allclose(log_likelihoods(np.full((1, 4), np.nan), [0]), np.log(0.25))


def test_likelier_labels():
    low, gain = np.full(10, -2.0), np.array([1.0, 1.2] * 5)
    assert surely_likelier(low, low + gain, 10)
    assert not surely_likelier(low, low + 0.05, 10)
    assert not surely_likelier(low, low + np.array([10.0] + [0.0] * 9), 1000)  # one picture alone
    assert not surely_likelier(low * 2, low * 2 + gain, 10)  # worse than guessing
    assert not surely_likelier(low[:5], low[:5] + 1.0, 10)


def test_the_line_to_type():
    way = Way(replace(TRAINED, color=Color.BGR, mean=(1.5, 2.0, 3.0)))
    line = inputs_override([InputConfig("a:0")], way)
    assert line == 'model.inputs=[{name: "a:0", mean: [1.5, 2, 3], normal: [128], color: BGR}]'
    (value,) = OverridesParser.create().parse_override(line).value()
    assert value["mean"] == [1.5, 2, 3]
    assert inputs_override([], Way(TRAINED)) == "model.inputs=[{mean: [127], normal: [128], color: RGB}]"


def test_a_model_is_not_changed():
    model, weight = network(0)
    before = onnx.ModelProto()
    before.CopyFrom(model)
    search(Way(TRAINED), Witness(model, training(weight, 0), pictures(8, 0), no_labels))
    assert model == before
