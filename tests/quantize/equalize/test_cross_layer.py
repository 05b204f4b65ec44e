import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.calibrate.__main__ import calibrate
from stages.compare.__main__ import compare
from stages.core.base.artifacts import write_checksums
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS, INTEGER_MODEL, NOTES, QPARAMS, STATISTICS
from stages.core.config.schema import Equalization, Rounding
from stages.core.data.inputs import load_inputs
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.network_params import load_qparams
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.collect import collect
from stages.core.statistics.tensor_statistics import load_statistics
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize import float_network as network
from stages.quantize.__main__ import quantize
from stages.quantize.equalize.cross_layer import equalize
from stages.quantize.validation import Validator
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier

SHAPE = (1, 3, 8, 8)


def pictures(count=6, shape=SHAPE, name="x"):
    rng = np.random.default_rng(5)
    return [{name: rng.normal(0, 1, shape).astype(np.float32)} for _ in range(count)]


def weight(rng, *shape):
    return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)


def statistics_of(model, fed):
    return collect(model, ((str(index), feeds) for index, feeds in enumerate(fed)))


def equalized(model, fed=None, features=4, weights=8):
    model = onnx.shape_inference.infer_shapes(model)
    return equalize(model, statistics_of(model, pictures() if fed is None else fed), features, weights)


def initializer(model, name):
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def spread_network(rng=None):
    """Convolutions whose channels differ up to 200-fold in range; a residual sum, a pool and a fully connected end."""
    rng = rng or np.random.default_rng(1)
    spread = np.geomspace(1, 200, 8)
    constants = {
        "w1": weight(rng, 8, 3, 3, 3) * spread.reshape(8, 1, 1, 1),
        "b1": rng.normal(0, 0.3, 8) * spread,
        "w2": weight(rng, 8, 8, 3, 3) * rng.permutation(spread).reshape(8, 1, 1, 1) / spread.reshape(1, 8, 1, 1),
        "w3": weight(rng, 8, 8, 1, 1),
        "k": rng.normal(0, 1, (8, 1, 1)),
        "w4": weight(rng, 5, 8),
        "b4": rng.normal(0, 1, 5),
    }
    constants["w3"] = constants["w3"] * spread.reshape(8, 1, 1, 1)
    constants["w3"] /= np.abs(constants["w2"]).max(axis=(1, 2, 3)).reshape(1, 8, 1, 1)
    constants["w4"] = constants["w4"] / spread
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "stem", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], "stem_relu"),
        node("Conv", ["r1", "w2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["r2"], "second_relu"),
        node("Conv", ["r2", "w3"], ["c3"], "third"),
        node("Add", ["r1", "c3"], ["sum"], "residual"),
        node("Add", ["sum", "k"], ["shifted"], "shift"),
        node("MaxPool", ["shifted"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["pooled"], ["mean"], "mean"),
        node("Flatten", ["mean"], ["flat"], "flatten"),
        node("Gemm", ["flat", "w4", "b4"], ["y"], "fc", transB=1),
    ]
    return onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": SHAPE}, ["y"], constants))


def test_scaled_tensors_times_their_factors_are_the_tensors_of_the_float_network():
    model, fed = spread_network(), pictures()
    result = equalized(model, fed)
    assert list(result.factors) == ["c1", "r1", "c2", "r2", "c3", "sum", "shifted", "pooled", "mean", "flat"]
    assert result.groups == 2  # the residual sum's and second's
    tensors = Graph(model).float_tensors[1:]
    before, after = (Runner(with_outputs(each, tensors)) for each in (model, result.model))
    for feeds in pictures(8)[6:]:  # others than those calibrated
        expected, actual = before.run(feeds), after.run(feeds)
        for name in tensors:
            factor = result.factors.get(name, np.ones(1, np.float32))
            factor = factor.reshape(-1, *[1] * (expected[name].ndim - 2))
            allowed = 1e-5 * np.abs(expected[name]).max(axis=tuple(range(2, expected[name].ndim)), keepdims=True)
            assert np.all(np.abs(actual[name] * factor - expected[name]) <= allowed), name


def test_nodes_inputs_and_outputs_stay_as_they_are():
    model = spread_network()
    actual = equalized(model).model
    assert list(actual.graph.node) == list(model.graph.node)
    assert (actual.graph.input, actual.graph.output) == (model.graph.input, model.graph.output)
    assert [tensor.name for tensor in actual.graph.initializer] == [tensor.name for tensor in model.graph.initializer]


def test_the_same_bytes_every_time():
    one, other = (equalized(spread_network()).model.SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


ONES = [{"x": np.ones((1, 1, 64, 64), np.float32)}]


def statistics_of_ones(model):
    model = onnx.shape_inference.infer_shapes(model)
    return model, statistics_of(model, ONES)


def test_factors_by_hand():
    """Of 1x1 convolutions on ones: channels [16, 1, 2] have the parts [1, 1/16, 1/8] of the range 0..16.

    With narrow features and wide weights the whole of it moves: the narrowest factors that let no range grow.
    """
    constants = {
        "w": np.reshape([16.0, 1.0, 2.0], (3, 1, 1, 1)),
        "b": np.zeros(3),
        "v": np.reshape([[1.0, 4, 2], [8, 8, 1]], (2, 3, 1, 1)),
    }
    nodes = [node("Conv", ["x", "w", "b"], ["c"], "one"), node("Relu", ["c"], ["r"], "relu")]
    nodes += [node("Conv", ["r", "v"], ["y"], "two")]
    model, statistics = statistics_of_ones(graph_model(nodes, {"x": [1, 1, 64, 64]}, ["y"], constants))
    actual = equalize(model, statistics, 4, 16)
    for name in ("c", "r"):
        np.testing.assert_allclose(actual.factors[name], [1, 1 / 16, 1 / 8], rtol=1e-6)
    np.testing.assert_allclose(initializer(actual.model, "w").ravel(), [16, 16, 16], rtol=1e-6)
    np.testing.assert_allclose(initializer(actual.model, "v").reshape(2, 3), [[1, 1 / 4, 1 / 4], [8, 1 / 2, 1 / 8]])
    narrow = equalize(model, statistics, 16, 4).factors.get("c", np.ones(3))
    assert np.all(narrow >= actual.factors["c"])
    assert narrow.sum() > 1.5 * actual.factors["c"].sum()


def depthwise_network(first, size=64):
    """A 1x1 convolution, a depthwise one that takes it and a last one, all weights but the first's 1."""
    count = len(first)
    constants = {
        "w": np.reshape(first, (-1, 1, 1, 1)), "d": np.ones((count, 1, 1, 1)), "b": np.ones(count),
        "v": np.ones((1, count, 1, 1)),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w"], ["c"], "one"),
        node("Conv", ["c", "d", "b"], ["e"], "depthwise", group=count),
        node("Relu", ["e"], ["r"], "relu"),
        node("Conv", ["r", "v"], ["y"], "two"),
    ]
    return graph_model(nodes, {"x": [1, 1, size, size]}, ["y"], constants)


@pytest.mark.parametrize(("bits", "headroom"), [(4, 1.0), (8, 1.5)])
def test_all_of_the_spread_moves_into_a_depthwise_layer_but_for_some_headroom(bits, headroom):
    """c = [8, -2, 1]; the second is all there is below zero, so it stays.

    Expected squared error of the third at headroom h: ((8 + 2) / 2**bits * h / 8)**2 / 12 + 2 / ln(4096)**2 / 4096**h,
    for h = 1, 1.5, 2, 3 in millionths: at 4 bits 516, 1144, 2035, 4578; at 8 bits 9.0, 4.6, 7.9, 17.9.
    """
    actual = equalize(*statistics_of_ones(depthwise_network([8.0, -2.0, 1.0])), bits, 8)
    np.testing.assert_allclose(actual.factors["c"], [1, 1, headroom / 8], rtol=1e-6)


def test_a_factor_is_bounded_and_a_dead_channel_keeps_its_scale():
    actual = equalize(*statistics_of_ones(depthwise_network([100.0, 1.0, 0.0])), 4, 8)
    np.testing.assert_allclose(actual.factors["c"], [1, 1 / 16, 1], rtol=1e-6)


def test_wide_features_of_a_few_values_are_left_alone():
    """Sixteen values say little about the largest to come, and 16 bits have steps to spare."""
    model = onnx.shape_inference.infer_shapes(depthwise_network([8.0, -2.0, 1.0], size=4))
    fed = [{"x": np.ones((1, 1, 4, 4), np.float32)}]
    assert "c" not in equalize(model, statistics_of(model, fed), 16, 8).factors


def test_no_range_grows():
    model, fed = spread_network(), pictures()
    before = statistics_of(model, fed)
    actual = equalize(model, before)
    after = statistics_of(actual.model, fed)
    for name in ("r1", "r2", "c3", "sum", "shifted", "pooled", "mean", "flat"):
        assert after[name].high <= before[name].high * 1.0001
        assert after[name].low >= before[name].low * 1.0001
    spread = {side: each["r1"].channel_high.max() / each["r1"].channel_high.min() for side, each in
              (("before", before), ("after", after))}  # fmt: skip
    assert spread["after"] < spread["before"] / 5


# --- weights of every kind

KINDS = {
    "grouped": ([node("Conv", ["a", "g"], ["y"], group=2)], {"g": (6, 4, 3, 3)}),
    "transposed": ([node("ConvTranspose", ["a", "t", "b"], ["y"], strides=[2, 2])], {"t": (8, 5, 2, 2), "b": (5,)}),
    "transposed, grouped": ([node("ConvTranspose", ["a", "t"], ["y"], group=4)], {"t": (8, 3, 2, 2)}),
    "transposed, made": (
        [node("ConvTranspose", ["a", "t", "b"], ["u"], group=2), node("Relu", ["u"], ["s"]),
         node("Conv", ["s", "v"], ["y"])],
        {"t": (8, 3, 2, 2), "b": (6,), "v": (2, 6, 1, 1)},
    ),
    "gemm": (
        [node("Flatten", ["a"], ["f"]), node("Gemm", ["f", "m", "b"], ["h"], alpha=0.5, beta=2.0),
         node("Relu", ["h"], ["s"]), node("MatMul", ["s", "n"], ["y"])],
        {"m": (512, 7), "b": (1, 7), "n": (7, 3)},
    ),
    "scalar bias": (
        [node("Flatten", ["a"], ["f"]), node("Gemm", ["f", "m", "b"], ["h"], transB=1), node("Relu", ["h"], ["s"]),
         node("MatMul", ["s", "n"], ["y"])],
        {"m": (7, 512), "b": (1,), "n": (7, 3)},
    ),
    "constants": (
        [node("Sub", ["two", "a"], ["s"]), node("Max", ["s", "k"], ["m"]), node("Conv", ["m", "v"], ["y"])],
        {"two": (), "k": (8, 1, 1), "v": (2, 8, 1, 1)},
    ),
    "a constant used twice": (
        [node("Add", ["a", "k"], ["s"], "one"), node("Relu", ["s"], ["r"]), node("Conv", ["r", "v"], ["c"], "conv"),
         node("Relu", ["c"], ["d"]), node("Conv", ["d", "v"], ["e"], "again"), node("Add", ["e", "k"], ["y"], "other")],
        {"k": (1, 8, 1, 1), "v": (8, 8, 1, 1)},
    ),
    "split and joined": (
        [node("Split", ["a"], ["p", "q"], axis=1), node("Concat", ["q", "p", "q"], ["j"], axis=1),
         node("AveragePool", ["j"], ["l"], kernel_shape=[2, 2]), node("Conv", ["l", "v"], ["y"])],
        {"v": (2, 12, 1, 1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_function_stays(kind):
    nodes, shapes = KINDS[kind]
    rng = np.random.default_rng(7)
    constants = {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}
    constants |= {"w": weight(rng, 8, 3, 3, 3) * np.geomspace(1, 40, 8).reshape(8, 1, 1, 1)}
    nodes = [node("Conv", ["x", "w"], ["a"], "first", pads=[1, 1, 1, 1]), *nodes]
    for index, entry in enumerate(nodes):
        entry.name = entry.name or f"n{index}"
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": SHAPE}, ["y"], constants))
    result = equalized(model)
    assert "a" in result.factors
    onnx.checker.check_model(result.model)
    for feeds in pictures(2):
        expected, actual = (Runner(each).run(feeds)["y"] for each in (model, result.model))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_scaled_where_nothing_can_be():
    model = onnx.shape_inference.infer_shapes(
        graph_model(
            [node("Conv", ["x", "w"], ["a"], "first"), node("Sigmoid", ["a"], ["s"]), node("Mul", ["a", "s"], ["m"]),
             node("Conv", ["m", "v"], ["y"], "last")],
            {"x": SHAPE}, ["y"], {"w": weight(np.random.default_rng(0), 4, 3, 1, 1), "v": np.ones((2, 4, 1, 1))},
        )
    )  # fmt: skip
    actual = equalized(model)
    assert (actual.factors, actual.groups) == ({}, 0)
    assert actual.model == model


def test_tensors_without_statistics_stay():
    model = spread_network()
    assert equalize(model, {}).factors == {}


# --- with quantization


@pytest.mark.parametrize(("features", "weights"), [(8, 8), (4, 8), (4, 4)])
def test_the_error_of_quantization_falls_where_channels_are_badly_spread(features, weights):
    model, fed = spread_network(), pictures()
    expected = np.array([Runner(model).run(feeds)["y"] for feeds in fed])
    errors = []
    for each in (model, equalized(model, fed, features, weights).model):
        actual = quantized_network(each, fed, soc_config("t41"), feature_bits=features, weight_bits=weights)
        runner = Runner(simulator_model(actual.integer, ["y"]), optimize="safe")
        errors.append(np.square(np.array([runner.run(feeds)["y"] for feeds in fed]) - expected).mean() ** 0.5)
    assert errors[1] < errors[0] / 2


def run_stages(config, *stages):
    for stage in stages:
        stage(config)


@pytest.fixture
def spread_project(quantized):
    """The project's stages up to calibrate on a tiny classifier whose residual channels differ 100-fold in range."""
    model = tiny_classifier()
    units = np.geomspace(1, 100, 8)
    for tensor, factor in (("w1", units), ("b1", units), ("w2", 1 / units), ("w3", units), ("b3", units), ("w4", None)):
        entry = next(each for each in model.graph.initializer if each.name == tensor)
        values = numpy_helper.to_array(entry)
        values = values / units if factor is None else values * factor.reshape(-1, *[1] * (values.ndim - 1))
        entry.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor))
    onnx.save(model, "tiny.onnx")
    run_stages(quantized, export, calibrate)
    return quantized


def similarity_by_node():
    return {row["node"]: row for row in json.loads(Path("out/compare/similarity.json").read_text())}


@pytest.mark.slow
def test_the_stage_scales_and_compare_brings_the_units_back(spread_project, capsys):
    """The tiny classifier's residual group is scaled, through depthwise and fully connected layers; ReLU6 is not."""
    config = spread_project
    run_stages(config, quantize, compare)
    plain = similarity_by_node()
    config.quant.equalization = Equalization.cross_layer
    capsys.readouterr()
    run_stages(config, quantize, compare, evaluate)
    params = load_qparams(Path("out/quantize/qparams.json"), config)
    assert list(params.factors) == ["c1", "r1", "c3", "sum", "pooled", "flat"]
    assert all(len(factors) == 8 for factors in params.factors.values())
    note = "quant.equalization: channels of 6 tensors in 1 group scaled; ranges here are those of the scaled network"
    assert json.loads(Path("out/quantize/notes.json").read_text())[0] == note
    assert f"note: {note}" in capsys.readouterr().out
    assert note in Path("out/compare/report.html").read_text()
    scaled = similarity_by_node()
    assert scaled.keys() == plain.keys()
    assert all(row["cosine_min"] > 0.99 for row in scaled.values())
    assert scaled["fc"]["euclidean"] < plain["fc"]["euclidean"] / 2


def test_statistics_of_scaled_tensors_are_collected_anew(spread_project):
    before = load_statistics(STATISTICS)
    plain = network.Network(Graph(load_model(FLOAT_MODEL)), before)
    samples, given = calibration_samples(CALIBSET), load_inputs(INPUTS)
    actual = network.equalized(plain, spread_project, samples, given)
    assert actual.factors
    for name, factor in actual.factors.items():
        for side in ("channel_low", "channel_high", "channel_mean"):
            expected = getattr(before[name], side)
            atol = 1e-5 * np.maximum(before[name].channel_high, -before[name].channel_low)
            assert np.all(np.abs(getattr(actual.statistics[name], side) * factor - expected) <= atol), (name, side)
    for name in before.keys() - actual.factors.keys():
        assert actual.statistics[name] is before[name]


def verdict():
    return [line for line in json.loads(NOTES.read_text()) if line.startswith("quant.equalization=measured")]


@pytest.mark.parametrize("rounding", [Rounding.nearest, Rounding.compensate])
def test_measured_equalization_is_taken_where_it_helps(spread_project, rounding):
    """With weights that are to be refitted it is validated by the features alone."""
    quant = spread_project.quant = replace(spread_project.quant, rounding=rounding)
    quant.equalization = Equalization.cross_layer
    run_stages(spread_project, quantize)
    always = INTEGER_MODEL.read_bytes()
    quant.equalization = Equalization.measured
    run_stages(spread_project, quantize)
    (line,) = verdict()
    errors = r".* channels scaled: error of the outputs on \d+ validation pictures (\S+) -> (\S+)"
    actual = re.fullmatch(errors + ("" if rounding is Rounding.nearest else " with weights in float"), line)
    assert actual
    assert float(actual[2]) < float(actual[1])
    assert INTEGER_MODEL.read_bytes() == always


def test_measured_equalization_that_does_not_help_is_refused(spread_project, monkeypatch):
    """The validator finds scaled networks worse."""
    run_stages(spread_project, quantize)
    plain = INTEGER_MODEL.read_bytes()
    monkeypatch.setattr(Validator, "error", lambda _, candidate, features_only: float(bool(candidate.factors)))
    spread_project.quant.equalization = Equalization.measured
    run_stages(spread_project, quantize)
    assert verdict()[0].endswith("0 -> 1: refused, it does not improve")
    assert INTEGER_MODEL.read_bytes() == plain
    assert load_qparams(QPARAMS, spread_project).factors == {}


def test_measured_equalization_is_not_tried_on_few_bits_that_are_learned(spread_project):
    spread_project.quant = replace(
        spread_project.quant, equalization=Equalization.measured, feature_bits=4, rounding=Rounding.compensate
    )
    run_stages(spread_project, quantize)
    assert verdict() == ["quant.equalization=measured: not tried: features of 4 bits learn better without"]
    assert load_qparams(QPARAMS, spread_project).factors == {}


def test_the_stage_writes_the_same_bytes_every_time(spread_project):
    spread_project.quant.equalization = Equalization.cross_layer
    actual = []
    for _ in range(2):
        run_stages(spread_project, quantize)
        actual.append({path.name: path.read_bytes() for path in Path("out/quantize").iterdir()})
    assert actual[0] == actual[1]


def test_a_network_that_cannot_be_scaled_gives_a_note(quantized):
    model = tiny_classifier()
    model.graph.node[1].op_type = "Sigmoid"
    model.graph.node[6].CopyFrom(node("ReduceMean", ["sum"], ["pooled"], "pool", axes=[2, 3]))
    model.graph.node[5].op_type = "Mul"
    onnx.save(onnx.shape_inference.infer_shapes(model), "out/export/model.onnx")
    write_checksums(Path("out/export"))
    run_stages(quantized, calibrate)
    quantized.quant.equalization = Equalization.cross_layer
    run_stages(quantized, quantize)
    assert json.loads(Path("out/quantize/notes.json").read_text())[0].startswith("quant.equalization: nothing was")
    assert load_qparams(Path("out/quantize/qparams.json"), quantized).factors == {}
