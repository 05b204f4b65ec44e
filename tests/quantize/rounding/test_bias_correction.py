import numpy as np
import pytest

from stages.quantize.rounding.bias_correction import can_have_bias, correct_bias
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import soc_config
from tests.quantize.candidates import candidate_of, replay_until

RNG = np.random.default_rng(5)
FEEDS = [{"x": RNG.gamma(1.0, 1.0, (1, 4, 6, 6)).astype(np.float32)} for _ in range(5)]
CONV = RNG.normal(0, 0.5, (6, 4, 3, 3)).astype(np.float32)
UP = RNG.normal(0, 0.5, (4, 6, 2, 2)).astype(np.float32)
FULL = RNG.normal(0, 0.5, (4 * 36, 6)).astype(np.float32)
FIRST = RNG.normal(0, 0.5, (4, 4, 1, 1)).astype(np.float32)
BIAS = RNG.normal(0, 1, 6).astype(np.float32)


def network(kind, bias):
    """A convolution, then the layer whose bias is corrected, named `n`."""
    inputs = ["a", "w"] + {"given": ["b"], "none": [], "left out": [""]}[bias]
    first = [node("Conv", ["x", "w0"], ["a0"], "c0"), node("Relu", ["a0"], ["a" if kind != "Gemm" else "a1"], "r0")]
    match kind:
        case "Conv":
            last = [node("Conv", inputs, ["y"], "n", pads=[1, 1, 1, 1])]
        case "ConvTranspose":
            last = [node("ConvTranspose", inputs, ["y"], "n", strides=[2, 2])]
        case _:
            last = [node("Flatten", ["a1"], ["a"], "f"), node("Gemm", inputs, ["y"], "n")]
    weight = {"Conv": CONV, "ConvTranspose": UP, "Gemm": FULL}[kind]
    constants = {"w0": FIRST, "w": weight} | ({"b": BIAS} if bias == "given" else {})
    return graph_model([*first, *last], {"x": [1, 4, 6, 6]}, ["y"], constants)


def alone(kind, weight, bias):
    nodes = {
        "Conv": node("Conv", ["a", "w", "b"], ["y"], pads=[1, 1, 1, 1]),
        "ConvTranspose": node("ConvTranspose", ["a", "w", "b"], ["y"], strides=[2, 2]),
        "Gemm": node("Gemm", ["a", "w", "b"], ["y"]),
    }
    shape = [1, 4 * 36] if kind == "Gemm" else [1, 4, 6, 6]
    return graph_model([nodes[kind]], {"a": shape}, ["y"], {"w": weight, "b": bias})


def mean_output(kind, weight, bias, files):
    outputs = [run_onnx(alone(kind, weight, bias), {"a": files.read("a", i)})[0] for i in range(len(FEEDS))]
    stacked = np.stack([value[0].reshape(6, -1) for value in outputs]).astype(np.float64)
    return stacked.mean(axis=(0, 2))


@pytest.mark.parametrize("bias", ["given", "none", "left out"])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "Gemm"])
@pytest.mark.parametrize(("weights", "features"), [(True, False), (False, True), (True, True)])
def test_the_mean_output_is_that_in_float(tmp_path, kind, bias, weights, features):
    candidate = candidate_of(network(kind, bias), FEEDS, soc_config("t40"), feature_bits=4, weight_bits=4)
    replay = replay_until(candidate, FEEDS, "a", tmp_path / "replay")
    (target,) = (n for n in candidate.graph.nodes if n.name == "n")
    correct_bias(candidate, target, replay, weights, features)
    entry, weight = candidate.weights["n"], {"Conv": CONV, "ConvTranspose": UP, "Gemm": FULL}[kind]
    shape = [1] * weight.ndim
    shape[entry.axis if entry.axis is not None else 0] = -1
    dequantized = candidate.codes["n"] * np.float32(entry.scales).reshape(shape)
    given = BIAS if bias == "given" else np.zeros(6, dtype=np.float32)
    expected = mean_output(kind, weight, given, replay.float)
    source = replay.quantized if features else replay.float
    before = mean_output(kind, dequantized if weights else weight, given, source)
    after = mean_output(kind, dequantized if weights else weight, candidate.biases["n"], source)
    assert np.abs(before - expected).max() > 1e-3
    np.testing.assert_allclose(after, expected, rtol=0, atol=2e-5)
    assert candidate.biases["n"].dtype == np.float32


def test_correcting_twice_changes_nothing(tmp_path):
    candidate = candidate_of(network("Conv", "given"), FEEDS, soc_config("t40"), weight_bits=4)
    replay = replay_until(candidate, FEEDS, "a", tmp_path / "replay")
    (target,) = (n for n in candidate.graph.nodes if n.name == "n")
    correct_bias(candidate, target, replay, weights=True, features=True)
    once = candidate.biases["n"].copy()
    correct_bias(candidate, target, replay, weights=True, features=True)
    np.testing.assert_allclose(candidate.biases["n"], once, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "can"), [("Conv", True), ("ConvTranspose", True), ("Gemm", True), ("MatMul", False)])
def test_what_can_have_a_bias(kind, can):
    assert can_have_bias(node(kind, ["x", "w"], ["y"])) is can
