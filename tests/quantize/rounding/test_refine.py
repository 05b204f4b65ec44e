from pathlib import Path

import numpy as np
import onnx
import pytest
from omegaconf import OmegaConf
from onnx import numpy_helper

from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INTEGER_MODEL, PREPARED_MODEL, QUANTIZED_MODEL
from stages.core.config.schema import Color, QuantConfig, Rounding
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import correction_samples, validation_samples
from stages.core.graph.session import Runner
from stages.core.integer.simulator import simulator_model
from stages.quantize.__main__ import quantize
from stages.quantize.rounding.refine import reconstruction_steps, refine, refines
from stages.quantize.validation import Validator
from tests.conftest import composed
from tests.export.graphs import graph_model, node
from tests.networks import soc_config
from tests.quantize.candidates import candidate_of, fed, inputs, new_candidate, plain_error, validator

# --- what is refined


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ({}, False),
        ({"rounding": Rounding.compensate}, True),
        ({"rounding": Rounding.reconstruct}, True),
        ({"weight_correction": True}, True),
        ({"feature_correction": True}, True),
    ],
)
def test_whether_there_is_anything_to_refine(quant, expected):
    assert refines(QuantConfig("q", **quant)) is expected


@pytest.mark.parametrize(
    "keys", [("weight_correction",), ("feature_correction",), ("weight_correction", "feature_correction")]
)
def test_corrections_change_biases_alone(calibrated, tmp_path, keys):
    candidate = new_candidate(weight_bits=4)
    before = candidate.copy()
    quant = QuantConfig("q", weight_bits=4, **dict.fromkeys(keys, True))
    refine(candidate, quant, correction_samples(CALIBSET), inputs(), tmp_path / "scratch")
    assert candidate.biases.keys() == candidate.weights.keys()
    assert (candidate.features, candidate.weights) == (before.features, before.weights)
    for name, codes in candidate.codes.items():
        np.testing.assert_array_equal(codes, before.codes[name])


def test_compensation_changes_codes_and_biases_and_leaves_nothing_behind(calibrated, tmp_path):
    candidate = new_candidate(weight_bits=4)
    before = candidate.copy()
    quant = QuantConfig("q", weight_bits=4, rounding=Rounding.compensate)
    refine(candidate, quant, correction_samples(CALIBSET), inputs(), tmp_path / "scratch")
    assert candidate.biases.keys() == candidate.weights.keys()
    assert all(
        not np.array_equal(candidate.codes[name], before.codes[name]) for name in ("stem", "depthwise", "project")
    )
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []
    validation = validator()
    assert validation.error(candidate) < validation.error(before)


def test_the_float_mean_of_the_output_comes_back(calibrated, tmp_path):
    """With both corrections the last layer's mean over the pictures it was fitted on is the float network's."""
    candidate = new_candidate(feature_bits=4, weight_bits=4)
    quant = QuantConfig("q", feature_bits=4, weight_bits=4, weight_correction=True, feature_correction=True)
    samples = correction_samples(CALIBSET)
    expected = np.mean([Runner(FLOAT_MODEL).run(given)["logits"] for given in fed(samples)], axis=0)

    def off(one):
        runner = Runner(simulator_model(one.lowered()[0], ["logits"]), optimize="safe")
        outputs = np.mean([runner.run(given)["logits"] for given in fed(samples)], axis=0)
        return np.abs(outputs - expected).max()

    before = off(candidate)
    refine(candidate, quant, samples, inputs(), tmp_path / "scratch")
    assert off(candidate) < 0.25 * before


# --- the stage


def run_both(feeds):
    integer = simulator_model(onnx.load(Path(INTEGER_MODEL)), ["logits"])
    return Runner(integer, optimize="safe").run(feeds)["logits"], Runner(QUANTIZED_MODEL, optimize="none").run(feeds)[
        "logits"
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ("quant.rounding=compensate", "quant.weight_correction=true", "quant.feature_correction=true"),
        pytest.param(("quant.weight_correction=true",), marks=pytest.mark.slow),
    ],
)
def test_the_stage_does_better_than_the_nearest_and_its_networks_agree(calibrated, overrides):
    errors, prepared = [], []
    for more in ((), overrides):
        config = composed("quant.weight_bits=4", *more)
        quantize(config)
        errors.append(plain_error(Path(INTEGER_MODEL).read_bytes()))
        prepared.append(onnx.load(PREPARED_MODEL))
    assert errors[1] < errors[0]
    spread = max(float(np.ptp(run_both(given)[0])) for given in fed(validation_samples(CALIBSET)))
    for given in fed(validation_samples(CALIBSET)):
        integer, qdq = run_both(given)
        np.testing.assert_allclose(qdq, integer, rtol=0, atol=0.02 * spread)
        # the prepared network has the same weights and biases, its features are float
        np.testing.assert_allclose(Runner(prepared[1]).run(given)["logits"], integer, rtol=0, atol=0.1 * spread)
    assert OmegaConf.load("params.yaml").quant.weight_bits == 4
    assert not list(Path("out").glob(".quantize-*"))


@pytest.mark.slow
def test_the_stage_gives_the_same_again(calibrated):
    config = composed("quant.weight_bits=4", "quant.rounding=compensate")
    outputs = []
    for _ in range(2):
        quantize(config)
        outputs.append([Path(path).read_bytes() for path in (INTEGER_MODEL, QUANTIZED_MODEL, PREPARED_MODEL)])
    assert outputs[0] == outputs[1]


@pytest.mark.slow
@pytest.mark.parametrize(("soc", "tried"), [("bm1684", ["compensate", "reconstruct"]), ("t40", ["reconstruct"])])
def test_where_weights_have_one_scale_compensating_is_tried_before_learning(calibrated, capsys, soc, tried):
    quantize(composed(f"soc={soc}", "quant.weight_bits=8", "quant.rounding=reconstruct", "quant.steps=2"))
    shown = capsys.readouterr()
    notes = [line for line in (shown.out + shown.err).splitlines() if "error of the outputs" in line]
    assert [note.split("quant.rounding=")[1].split(":")[0] for note in notes] == tried


# --- networks of odd forms


def odd_network():
    """Several outputs, one of them integers, one taken inside; a product, a branch, a dead layer, a constant input."""

    def branch(name, source):
        outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, 8, 8])]
        return onnx.helper.make_graph([node("Neg", [source], [name], name)], name, [], outputs)

    nodes = [
        node("Conv", ["images", "w"], ["a"], "a", auto_pad="SAME_LOWER"),
        node("Relu", ["a"], ["b"], "b"),
        node("Relu", ["a"], ["dead"], "dead"),
        node("ReduceMax", ["b"], ["most"], "most", keepdims=0),
        node("Greater", ["most", "zero"], ["yes"], "yes"),
        node("If", ["yes"], ["chosen"], "chosen", then_branch=branch("one", "a"), else_branch=branch("two", "b")),
        node("MatMul", ["chosen", "m"], ["c"], "c"),
        node("Conv", ["fixed", "v"], ["d"], "d"),
        node("Add", ["c", "d"], ["e"], "e"),
        node("Conv", ["e", "v"], ["f"], "f"),
        node("Shape", ["f"], ["size"], "size"),
    ]
    rng = np.random.default_rng(0)
    shapes = {"w": (4, 3, 3, 3), "v": (4, 4, 1, 1), "m": (8, 8), "fixed": (1, 4, 8, 8)}
    constants = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()} | {"zero": 0.0}
    model = graph_model(nodes, {"images": [1, 3, 8, 8]}, ["b", "f", "size"], constants)
    model.graph.output[2].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("soc", ["t40", "shift", "bm1684"])
@pytest.mark.parametrize(
    "quant", [{"rounding": Rounding.compensate}, {"weight_correction": True, "feature_correction": True}]
)
def test_odd_networks_get_through(tmp_path, soc, quant):
    model = odd_network()
    pictures = [np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(4)]
    samples = [{"images": picture} for picture in pictures]
    given = [NetworkInput("images", (1, 3, 8, 8), (128.0,) * 3, (64.0,) * 3, Color.RGB)]
    candidate = candidate_of(model, [feeds(sample, given) for sample in samples], soc_config(soc))
    refine(candidate, QuantConfig("q", **quant), samples, given, tmp_path / "scratch")
    assert "f" in candidate.biases
    assert np.isfinite(Validator(model, given, samples).error(candidate))


@pytest.mark.parametrize("large", [1, 2], ids=["few", "many"])
def test_on_bm1684_the_chip_has_the_weights_and_biases_that_were_fitted(tmp_path, large):
    """Biases have 16 bits there: those of large ones are cut off, or cost the whole layer a bit of its weights."""
    rng, channels = np.random.default_rng(3), 40
    biases = np.where(np.arange(channels) < large, 12.0, 0.1).astype(np.float32)
    constants = {
        "w": rng.normal(0, 0.04, (channels, 3, 3, 3)),
        "b": biases,
        "v": rng.normal(0, 0.3, (2, channels, 1, 1)),
    }
    nodes = [node("Conv", ["images", "w", "b"], ["a"], "one"), node("Conv", ["a", "v"], ["y"], "two")]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 8, 8]}, ["y"], constants))
    pictures = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(4)]
    samples = [{"images": picture} for picture in pictures]
    given = [NetworkInput("images", (1, 3, 8, 8), (128.0,) * 3, (64.0,) * 3, Color.RGB)]
    candidate = candidate_of(model, [feeds(sample, given) for sample in samples], soc_config("bm1684"))
    refine(candidate, QuantConfig("q", rounding=Rounding.compensate), samples, given, tmp_path / "scratch")
    integer = candidate.lowered()[0]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in integer.graph.initializer}
    layer = next(each for each in integer.graph.node if each.name == "one")
    codes = stored[layer.input[1]]
    ratio = np.abs(codes).max() // np.abs(candidate.codes["one"]).max()
    np.testing.assert_array_equal(codes, candidate.codes["one"] * ratio)
    step = candidate.features["images"].scale * candidate.weights["one"].scales[0]
    chip = stored[next(name for name in layer.input if name.endswith("/bias"))]
    np.testing.assert_allclose(chip / ratio, candidate.biases["one"] / step, atol=1.0)


@pytest.mark.parametrize(
    ("bit_widths", "asked", "expected"),
    [((8, 8), None, 125), ((8, 4), None, 200), ((4, 8), None, 200), ((16, 8), None, 125), ((4, 8), 7, 7)],
)
def test_few_bits_take_more_steps(bit_widths, asked, expected):
    assert reconstruction_steps(QuantConfig("q", *bit_widths, steps=asked)) == expected
