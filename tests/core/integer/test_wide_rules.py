"""Rules with multipliers of 31 bits: hand-computed values, and the simulator beside the reference at their edges."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.core.integer import rules
from stages.core.integer.model import DOMAIN, DOMAIN_VERSION
from stages.core.integer.operators.boundary import QuantizeAway
from stages.core.integer.operators.weighted import MatMul
from stages.core.integer.reference import run_reference
from stages.core.integer.simulator import simulator_model


def test_halves_go_away_from_zero():
    sums = np.array([-6, -5, -3, -2, 2, 3, 5, 6])  # quarters: -1.5 -1.25 -0.75 -0.5 0.5 0.75 1.25 1.5
    assert rules.scale_sum_away(sums, 2).tolist() == [-2, -1, -1, -1, 1, 1, 1, 2]
    assert rules.scale_sum(sums, 2).tolist() == [-1, -1, -1, 0, 1, 1, 1, 2]


def test_doubling_rounds_twice():
    half = np.array([1 << 30])  # times 1/2
    sums = np.array([-7, -5, -3, -1, 1, 3, 5, 7])
    # halves up: -3 -2 -1 0 1 2 3 4; then halved, away: -2 -1 -1 0 1 1 2 2
    assert rules.doubling_shift(sums, half, np.array([0])).tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert rules.doubling_shift(sums, half, np.array([1])).tolist() == [-2, -1, -1, 0, 1, 1, 2, 2]


def _model(rule: str, weight: np.ndarray, parameters: list[np.ndarray], rows: int) -> onnx.ModelProto:
    """Codes of zero point 128 times a matrix, requantized by a rule."""
    quantize = QuantizeAway(bits=8, scale=1.0, zero_point=128, low=0, high=255, reciprocal=1.0)
    product = MatMul(bits=8, scale=1.0, zero_point=128, low=0, high=255, rule=rule)
    names = ["weight", "bias", "multiplier", "shift"]
    constants = [numpy_helper.from_array(value, name) for name, value in zip(names, [weight, *parameters], strict=True)]
    shape, out = [rows, weight.shape[0]], [rows, weight.shape[1]]
    graph = helper.make_graph(
        [quantize.to_node(["x"], "c", "codes"), product.to_node(["c", *names], "y", "product")],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, out)],
        constants,
        value_info=[helper.make_tensor_value_info("c", TensorProto.UINT8, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("rule", ["multiplier_shift", "multiplier_shift_away", "doubling"])
@pytest.mark.parametrize("shift", [1, 9, 20])
def test_the_simulator_equals_the_reference_at_halves_and_ends(rule, shift):
    rng = np.random.default_rng(shift)
    columns, inner = 6, 8
    weight = rng.integers(-127, 128, (inner, columns)).astype(np.int8)
    powers = np.array([1 << 30, 1 << 30, (1 << 31) - 1, 1342177280, 1 << 30, 1879048192], dtype=np.int32)
    multiplier = powers if rule == "doubling" else (powers >> 10) + np.array([0, 1, 0, 3, 0, 5], dtype=np.int32)
    shifts = np.full(columns, shift if rule == "doubling" else shift + 21, dtype=np.int32)
    bias = rng.integers(-(2**26), 2**26, columns).astype(np.int32) * (shift == 20)
    model = _model(rule, weight, [bias, multiplier, shifts], 64)
    feeds = {"x": rng.integers(-128, 128, (64, inner)).astype(np.float32)}
    simulated = Runner(simulator_model(model, ["y"], codes=True), optimize="safe").run(feeds)["y"]
    np.testing.assert_array_equal(simulated, run_reference(model, feeds)["y"])
    if shift == 9:  # the others saturate, or hardly leave 0
        assert len(np.unique(simulated)) > 20


def test_floats_become_codes_with_halves_away_from_zero():
    operator = QuantizeAway(bits=8, scale=0.5, zero_point=128, low=0, high=255, reciprocal=2.0)
    model = helper.make_model(
        helper.make_graph(
            [operator.to_node(["x"], "y", "codes")],
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8])],
            [helper.make_tensor_value_info("y", TensorProto.UINT8, [8])],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        ir_version=10,
    )
    below_half = float(np.nextafter(np.float32(0.25), np.float32(0)))  # plus 0.5 it would round up in float32
    feeds = {"x": np.float32([-1.25, -0.75, -0.25, -0.2, below_half, 0.25, 0.75, 1000])}
    expected = [125, 126, 127, 128, 128, 129, 130, 255]  # -2.5 -1.5 -0.5 -0.4 <0.5 0.5 1.5 beyond
    assert run_reference(model, feeds)["y"].tolist() == expected
    simulated = Runner(simulator_model(model, ["y"], codes=True), optimize="safe").run(feeds)["y"]
    assert simulated.tolist() == expected
