from pathlib import Path

import numpy as np
import onnx
import pytest
from omegaconf import OmegaConf

from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS, INTEGER_MODEL, PREPARED_MODEL, QUANTIZED_MODEL
from stages.core.config.schema import Color, QuantConfig, Rounding
from stages.core.data.inputs import NetworkInput, feeds, load_inputs
from stages.core.data.sample_store import correction_samples, validation_samples
from stages.core.graph.session import Runner
from stages.core.integer.simulator import simulator_model
from stages.quantize.__main__ import quantize
from stages.quantize.rounding.refine import refine, refines, steps
from stages.quantize.validation import Validator
from tests.conftest import composed
from tests.export.graphs import graph_model, node
from tests.networks import soc_config
from tests.quantize.moves import candidate_of


def inputs():
    return load_inputs(INPUTS)


def fed(samples):
    return [feeds(sample, inputs()) for sample in samples]


def drafted(**quant):
    return candidate_of(onnx.load(FLOAT_MODEL), fed(correction_samples(CALIBSET)), soc_config("t40"), **quant)


def validator():
    return Validator(onnx.load(FLOAT_MODEL), inputs(), validation_samples(CALIBSET))


def plain_error(integer):
    """Of the outputs on the validation pictures: squared error over the float output's variance, the mean of all."""
    sides = Runner(FLOAT_MODEL), Runner(simulator_model(onnx.load_from_string(integer), ["logits"]), optimize="safe")
    errors = []
    for given in fed(validation_samples(CALIBSET)):
        expected, actual = (side.run(given)["logits"].astype(float) for side in sides)
        errors.append(np.mean((actual - expected) ** 2) / np.var(expected))
    return float(np.mean(errors))


# --- the judge


def test_the_judge_measures_on_the_validation_pictures(calibrated):
    candidate = drafted(weight_bits=4)
    assert validator().error(candidate) == pytest.approx(
        plain_error(candidate.lowered()[0].SerializeToString()), rel=1e-5
    )


def test_the_judge_takes_what_improves_and_says_by_how_much(calibrated):
    coarse, fine, found = drafted(weight_bits=2), drafted(weight_bits=8), validator()
    assert found.better(coarse, fine, "more bits") is fine
    errors = f"{found.error(coarse):.4g} -> {found.error(fine):.4g}"
    assert found.notes == [f"more bits: error of the outputs on 2 validation pictures {errors}"]


def test_the_judge_refuses_what_does_not_and_says_so(calibrated):
    coarse, fine, found = drafted(weight_bits=2), drafted(weight_bits=8), validator()
    assert found.better(fine, coarse, "fewer bits") is fine
    assert found.notes[0].startswith("fewer bits: error of the outputs on 2 validation pictures ")
    assert found.notes[0].endswith(": refused, it does not improve")
    assert found.better(fine, fine.copy(), "nothing") is fine
    assert found.notes[1].endswith(": refused, it does not improve")


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
    candidate = drafted(weight_bits=4)
    before = candidate.copy()
    quant = QuantConfig("q", weight_bits=4, **dict.fromkeys(keys, True))
    refine(candidate, quant, correction_samples(CALIBSET), inputs(), tmp_path / "scratch")
    assert candidate.biases.keys() == candidate.weights.keys()
    assert (candidate.features, candidate.weights) == (before.features, before.weights)
    for name, codes in candidate.codes.items():
        np.testing.assert_array_equal(codes, before.codes[name])


def test_compensation_changes_codes_and_biases_and_leaves_nothing_behind(calibrated, tmp_path):
    candidate = drafted(weight_bits=4)
    before = candidate.copy()
    quant = QuantConfig("q", weight_bits=4, rounding=Rounding.compensate)
    refine(candidate, quant, correction_samples(CALIBSET), inputs(), tmp_path / "scratch")
    assert candidate.biases.keys() == candidate.weights.keys()
    assert all(
        not np.array_equal(candidate.codes[name], before.codes[name]) for name in ("stem", "depthwise", "project")
    )
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []
    found = validator()
    assert found.error(candidate) < found.error(before)


def test_the_float_mean_of_the_output_comes_back(calibrated, tmp_path):
    """With both corrections the last layer's mean over the pictures it was fitted on is the float network's."""
    candidate = drafted(feature_bits=4, weight_bits=4)
    quant = QuantConfig("q", feature_bits=4, weight_bits=4, weight_correction=True, feature_correction=True)
    samples = correction_samples(CALIBSET)
    expected = np.mean([Runner(FLOAT_MODEL).run(given)["logits"] for given in fed(samples)], axis=0)

    def off(one):
        runner = Runner(simulator_model(one.lowered()[0], ["logits"]), optimize="safe")
        made = np.mean([runner.run(given)["logits"] for given in fed(samples)], axis=0)
        return np.abs(made - expected).max()

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
        ("quant.weight_correction=true",),
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


def test_the_stage_gives_the_same_again(calibrated):
    config = composed("quant.weight_bits=4", "quant.rounding=compensate")
    made = []
    for _ in range(2):
        quantize(config)
        made.append([Path(path).read_bytes() for path in (INTEGER_MODEL, QUANTIZED_MODEL, PREPARED_MODEL)])
    assert made[0] == made[1]


# --- networks of odd forms


def odd_network():
    """Several outputs, one of them integers, one taken inside; a product, a branch, a dead layer, a constant input."""

    def branch(name, source):
        made = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, 8, 8])]
        return onnx.helper.make_graph([node("Neg", [source], [name], name)], name, [], made)

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


@pytest.mark.parametrize("soc", ["t40", "bm1684"])
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


@pytest.mark.parametrize(
    ("bit_widths", "asked", "expected"),
    [((8, 8), None, 125), ((8, 4), None, 200), ((4, 8), None, 200), ((16, 8), None, 125), ((4, 8), 7, 7)],
)
def test_few_bits_take_more_steps(bit_widths, asked, expected):
    assert steps(QuantConfig("q", *bit_widths, steps=asked)) == expected
