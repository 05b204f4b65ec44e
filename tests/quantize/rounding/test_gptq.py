from itertools import product

import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.rounding.gptq import (
    RELATIVE_DAMPING,
    Moments,
    can_compensate,
    compensate,
    compensated_codes,
    group_rows,
    input_rows,
    refitted,
    ungroup_rows,
)
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import soc_config
from tests.quantize.candidates import candidate_of, replay_until

RNG = np.random.default_rng(11)


# --- rows: what each output is the product of


def layer(kind, weight_shape, size, **attributes):
    """A network of one weighted node, its input, and what ONNX Runtime makes of it."""
    weight = RNG.normal(0, 1, weight_shape).astype(np.float32)
    value = RNG.normal(0, 1, size).astype(np.float32)
    model = graph_model([node(kind, ["x", "w"], ["y"], "n", **attributes)], {"x": size}, ["y"], {"w": weight})
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    return graph, weight, value, run_onnx(model, {"x": value})[0]


LAYERS = [
    ("Conv", [6, 4, 3, 3], [1, 4, 7, 6], {}),
    ("Conv", [6, 4, 3, 2], [1, 4, 9, 8], {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
    ("Conv", [6, 4, 3, 3], [1, 4, 9, 9], {"dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    ("Conv", [6, 2, 3, 3], [1, 4, 5, 5], {"group": 2, "pads": [1, 1, 1, 1]}),
    ("Conv", [4, 1, 3, 3], [1, 4, 5, 5], {"group": 4}),
    ("Conv", [8, 1, 3, 3], [1, 4, 5, 5], {"group": 4, "strides": [2, 2]}),
    ("Conv", [6, 4, 4, 4], [1, 4, 7, 7], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", [6, 4, 4, 4], [1, 4, 7, 7], {"auto_pad": "SAME_LOWER"}),
    ("Conv", [6, 4, 3, 3], [1, 4, 7, 7], {"auto_pad": "VALID"}),
    ("Conv", [6, 4, 3], [1, 4, 9], {"strides": [2], "pads": [1, 1]}),
    ("Conv", [3, 2, 2, 3, 2], [1, 2, 4, 5, 4], {"pads": [0, 1, 0, 1, 1, 1]}),
    ("Gemm", [5, 3], [1, 5], {}),
    ("Gemm", [3, 5], [1, 5], {"transB": 1}),
    ("MatMul", [5, 3], [1, 2, 4, 5], {}),
]


@pytest.mark.parametrize(("kind", "weight_shape", "size", "attributes"), LAYERS)
def test_outputs_are_products_of_rows_and_weights(kind, weight_shape, size, attributes):
    graph, weight, value, expected = layer(kind, weight_shape, size, **attributes)
    (target,) = graph.nodes
    rows, weights = input_rows(graph, target, value, 10**6, 0), group_rows(target, weight)
    products = np.einsum("gpd,god->gop", rows, weights)
    outputs = products.reshape(products.shape[0] * products.shape[1], -1)
    wanted = expected[0].reshape(len(outputs), -1) if kind == "Conv" else expected.reshape(-1, len(outputs)).T
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-4)
    codes = weights.astype(np.int32)
    assert ungroup_rows(target, codes, weight.shape).shape == weight.shape
    np.testing.assert_array_equal(group_rows(target, ungroup_rows(target, codes, weight.shape)), codes)


def test_some_rows_are_rows_of_all_and_the_same_again():
    graph, _, value, _ = layer("Conv", [6, 4, 3, 3], [1, 4, 9, 9])
    (target,) = graph.nodes
    every = {row.tobytes() for row in input_rows(graph, target, value, 10**6, 0)[0]}
    some = input_rows(graph, target, value, 10, 3)
    assert some.shape == (1, 10, 36)
    assert len({row.tobytes() for row in some[0]} & every) == 10
    np.testing.assert_array_equal(input_rows(graph, target, value, 10, 3), some)
    assert not np.array_equal(input_rows(graph, target, value, 10, 4), some)


@pytest.mark.parametrize(("kind", "can"), [("Conv", True), ("Gemm", True), ("MatMul", True), ("ConvTranspose", False)])
def test_what_can_be_compensated(kind, can):
    assert can_compensate(node(kind, ["x", "w"], ["y"])) is can


# --- moments


def pairs(groups=2, size=5, pictures=4, positions=30, mean=0.0):
    rng = np.random.default_rng(3)
    mix = rng.normal(0, 1, (groups, size, size))
    first = [(rng.normal(0, 1, (groups, positions, size)) @ mix + mean).astype(np.float32) for _ in range(pictures)]
    return [(rows, np.float32(np.round(rows * 2) / 2)) for rows in first]


@pytest.mark.parametrize("mean", [0.0, 3.0, 1000.0])
def test_centred_moments_are_covariances(mean):
    given = pairs(mean=mean)
    actual = Moments.collect(given, minus_mean=True)
    for group in range(2):
        left, right = (np.concatenate([pair[side][group] for pair in given]).astype(np.float64) for side in (0, 1))
        both = np.cov(left.T, right.T, bias=True)
        np.testing.assert_allclose(actual.quantized[group], both[5:, 5:], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(actual.crossed[group], both[:5, 5:], rtol=1e-3, atol=1e-3)
    assert actual.samples == 120
    assert actual.quantized.dtype == actual.crossed.dtype == np.float64


def test_plain_moments_are_mean_products():
    given = pairs(mean=1.0)
    actual = Moments.collect(given, minus_mean=False)
    left, right = (np.concatenate([pair[side] for pair in given], axis=1).astype(np.float64) for side in (0, 1))
    np.testing.assert_allclose(actual.quantized, np.einsum("gpi,gpj->gij", right, right) / 120, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(actual.crossed, np.einsum("gpi,gpj->gij", left, right) / 120, rtol=1e-4, atol=1e-4)


# --- refitting


def share(moments):
    return max(RELATIVE_DAMPING, moments.quantized.shape[-1] / moments.samples)


def test_refitted_is_least_squares_held_to_the_given_weights():
    """The least of sum (X w - Q v)**2 / samples + ridge * (v - w)**2, solved by lstsq on stacked rows."""
    given = pairs(groups=1)
    moments = Moments.collect(given, minus_mean=True)
    weight = np.random.default_rng(4).normal(0, 1, (1, 3, 5))
    actual = refitted(weight, moments)
    left, right = (np.concatenate([pair[side][0] for pair in given]).astype(np.float64) for side in (0, 1))
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    ridge = share(moments) * np.trace(right.T @ right / 120) / 5
    for output in range(3):
        rows = np.concatenate([right / np.sqrt(120), np.sqrt(ridge) * np.eye(5)])
        wanted = np.concatenate([left @ weight[0, output] / np.sqrt(120), np.sqrt(ridge) * weight[0, output]])
        expected = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        np.testing.assert_allclose(actual[0, output], expected, rtol=1e-3, atol=1e-4)


def test_an_input_that_is_not_quantized_leaves_the_weights():
    rows = [(pair[0], pair[0]) for pair in pairs()]
    weight = np.random.default_rng(4).normal(0, 1, (2, 3, 5))
    np.testing.assert_allclose(refitted(weight, Moments.collect(rows, minus_mean=True)), weight, rtol=1e-5)


def test_an_input_of_zeros_leaves_the_weights_and_rounds_to_the_nearest():
    zeros = np.zeros((1, 50, 5), dtype=np.float32)
    moments = Moments.collect([(zeros, zeros)], minus_mean=True)
    weight = np.random.default_rng(4).normal(0, 1, (1, 3, 5))
    np.testing.assert_allclose(refitted(weight, moments), weight, rtol=1e-9)
    codes = compensated_codes(weight, np.full((1, 3), 0.25), 7, moments)
    np.testing.assert_array_equal(codes, np.clip(np.rint(weight / 0.25), -7, 7))


# --- compensated rounding


def damped(moments, group):
    matrix = moments.quantized[group]
    return matrix + share(moments) * np.trace(matrix) / len(matrix) * np.eye(len(matrix))


def plain_obq(weight, scale, qmax, matrix):
    """Column by column as Optimal Brain Surgeon says it, the inverse of what is left taken anew each time."""
    rest, codes = weight.copy(), np.zeros(len(weight), dtype=int)
    left = sorted(range(len(weight)), key=lambda i: (-matrix[i, i], i))
    while left:
        i = left[0]
        codes[i] = np.clip(np.rint(rest[i] / scale), -qmax, qmax)
        inverse = np.linalg.inv(matrix[np.ix_(left, left)])
        error = rest[i] - codes[i] * scale
        rest[left] -= error * inverse[0] / inverse[0, 0]
        left = left[1:]
    return codes


def random_case(seed, groups=2, outputs=4, size=9, positions=400):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(0, 1, (groups, positions, size)) @ rng.normal(0, 1, (groups, size, size))).astype(np.float32)
    moments = Moments.collect([(rows, rows)], minus_mean=True)
    weight = rng.normal(0, 1, (groups, outputs, size))
    return moments, weight, np.abs(weight).max(axis=2)


@pytest.mark.parametrize(("seed", "bits"), list(product(range(4), (2, 4, 8))))
def test_codes_are_those_of_optimal_brain_surgery(seed, bits):
    moments, weight, largest = random_case(seed)
    qmax = 2 ** (bits - 1) - 1
    scales = largest / qmax
    actual = compensated_codes(weight, scales, qmax, moments)
    assert actual.dtype == np.int32
    for group, output in np.ndindex(weight.shape[:2]):
        expected = plain_obq(weight[group, output], scales[group, output], qmax, damped(moments, group))
        np.testing.assert_array_equal(actual[group, output], expected)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_the_error_of_the_outputs_is_less_than_that_of_the_nearest(bits):
    qmax = 2 ** (bits - 1) - 1
    ratios = []
    for seed in range(20):
        moments, weight, largest = random_case(seed)
        scales = largest / qmax
        nearest = np.clip(np.rint(weight / scales[:, :, np.newaxis]), -qmax, qmax)
        errors = [
            sum(np.trace(off[g] @ damped(moments, g) @ off[g].T) for g in range(2))
            for codes in (compensated_codes(weight, scales, qmax, moments), nearest)
            for off in [weight - codes * scales[:, :, np.newaxis]]
        ]
        ratios.append(errors[0] / errors[1])
    assert max(ratios) < 1.0
    assert np.median(ratios) < 0.7


# --- a layer of a candidate

FEEDS = [{"x": RNG.gamma(1.0, 1.0, (1, 4, 8, 8)).astype(np.float32)} for _ in range(6)]


def small(kind):
    """Two layers; the second, named `n`, is the one that is rounded."""
    first = RNG.normal(0, 0.5, (6, 4, 3, 3))
    nodes = [node("Conv", ["x", "w0"], ["a0"], "c0"), node("Relu", ["a0"], ["a"], "r0")]
    last = {
        "Conv": (node("Conv", ["a", "w"], ["y"], "n", auto_pad="SAME_UPPER"), (5, 6, 3, 3)),
        "MatMul": (node("MatMul", ["a", "w"], ["y"], "n"), (6, 5)),
    }[kind]
    model = graph_model([*nodes, last[0]], {"x": [1, 4, 8, 8]}, ["y"], {"w0": first, "w": RNG.normal(0, 0.5, last[1])})
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("kind", ["Conv", "MatMul"])
def test_a_layer_comes_closer_to_float_than_by_rounding_to_the_nearest(tmp_path, kind):
    candidate = candidate_of(small(kind), FEEDS, soc_config("t40"), feature_bits=4, weight_bits=4)
    nearest = candidate.copy()
    replay = replay_until(candidate, FEEDS, "a", tmp_path / "replay")
    target = candidate.graph.nodes[-1]
    compensate(candidate, target, replay)
    assert candidate.weights == nearest.weights
    assert not np.array_equal(candidate.codes["n"], nearest.codes["n"])
    assert np.abs(candidate.codes["n"]).max() <= 7
    assert ("n" in candidate.biases) is (kind == "Conv")

    def outputs(weight, bias, files):
        attributes = {"auto_pad": "SAME_UPPER"} if kind == "Conv" else {}
        more = ["b"] if bias is not None else []
        constants = {"w": weight} | ({"b": bias} if bias is not None else {})
        model = graph_model([node(kind, ["a", "w", *more], ["y"], **attributes)], {"a": [1, 6, 6, 6]}, ["y"], constants)
        return np.stack([run_onnx(model, {"a": files.read("a", index)})[0] for index in range(len(FEEDS))])

    def of(one):
        entry = one.weights["n"]
        return outputs(dequantized(one.codes["n"], entry.scales, entry.axis), one.biases.get("n"), replay.quantized)

    expected = outputs(candidate.graph.constant("w"), None, replay.float)
    errors = [float(np.square(of(one) - expected).mean()) for one in (candidate, nearest)]
    assert errors[0] < 0.8 * errors[1]
    if kind == "Conv":  # a bias is corrected along: the mean is exact
        axes = (0, 1, 3, 4)
        np.testing.assert_allclose(of(candidate).mean(axis=axes), expected.mean(axis=axes), rtol=0, atol=1e-5)
