"""Expected values recorded from the open T41 compiler (t41-pluto at 8f374b6): its own functions on these parameters."""

import numpy as np
import pytest

from stages.core.integer.exact_rounding import exact_multiplier, exact_rescaling, exact_sum
from stages.core.integer.operators import Operands
from stages.core.integer.operators.fixed_point import Concat, Mean
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.rules import nna_integer_parameters

# compile/requant.py, act_table: the byte of each byte, from scale 0.0311 and zero point -57 to 0.0402 and -20
RESCALED = bytes.fromhex(
    "3536373738393a3a3b3c3d3e3e3f404141424344454546474848494a4b4c4c4d4e4f4f505152525354555656575859595a5b5c5d5d5e5f60"
    "6061626363646566676768696a6a6b6c6d6e6e6f707171727374757576777878797a7b7b7c7d7e7f7f808182828384858686878889898a8b"
    "8c8c8d8e8f909091929393949596979798999a9a9b9c9d9e9e9fa0a1a1a2a3a4a4a5a6a7a8a8a9aaababacadaeafafb0b1b2b2b3b4b5b5b6"
    "b7b8b9b9babbbcbcbdbebfc0c0c1c2c3c3c4c5c6c7c7c8c9cacacbcccdcdcecfd0d1d1d2d3d4d4d5d6d7d8d8d9dadbdbdcdddededfe0e1e2"
    "e2e3e4e5e5e6e7e8e9e9eaebececedeeeff0f0f1f2f3f3f4f5f6f6f7f8f9fafa"
)


def quant_params(scale, signed_zero_point):
    return QuantParams(8, float(np.float32(scale)), signed_zero_point + 128)


def stored(qparams):
    return {"bits": 8, "scale": qparams.scale, "zero_point": qparams.zero_point, "low": 0, "high": 255}


@pytest.mark.parametrize(
    ("left", "right", "out", "found"),
    [
        ((0.0173, -128), (0.0311, 4), (0.0402, -20), ([57760369, 103835109], 27)),
        ((0.011, 0), (0.013, 0), (0.024, 1), ([1877, 2219], 12)),
        ((1, 0), (1, 0), (1, 0), ([256, 256], 8)),
        ((0.5, 0), (0.5, 0), (1, 0), None),  # halves tie: real arithmetic takes the even code, integers go up
        ((0.05, -3), (0.02, -128), (0.06, -60), None),
        ((1e9, 0), (1, 0), (1e-9, 0), None),  # no multiplier of 31 bits
    ],
)
def test_sums_have_the_compilers_factors(left, right, out, found):
    """compile/ops/add.py, _fixed; None where it stops."""
    assert exact_sum(quant_params(*left), quant_params(*right), quant_params(*out)) == found


def test_a_joined_operand_gets_the_compilers_table():
    operand, out = quant_params(0.0311, -57), quant_params(0.0402, -20)
    multipliers, shift = exact_rescaling([operand, out], out)
    assert multipliers[1] == 2**shift
    joined = Concat(**stored(out), multipliers=tuple(multipliers), shift=shift, axis=0)
    codes = np.arange(256, dtype=np.uint8)
    result = joined.reference(Operands([codes, codes], [operand, out]))
    assert result.astype(np.uint8).tobytes() == RESCALED + codes.tobytes()


def test_no_multiplier_where_halves_tie():
    out = quant_params(1, 0)
    assert exact_rescaling([quant_params(0.5, 0)], out) is None
    sums = np.arange(-256, 257)
    assert exact_multiplier(sums, sums / 2, out, 30) is None


def test_means_are_the_compilers():
    """compile/ops/avgpool.py, simulate; inputs by a formula."""
    x, out = quant_params(0.0173, -128), quant_params(0.0151, -128)
    codes = (np.arange(140) ** 2 * 37 % (np.arange(1, 5).repeat(35) * 60)).reshape(1, 4, 7, 5).astype(np.uint8)
    sums = np.arange(0, 255 * 35 + 1)
    multiplier, shift = exact_multiplier(sums, sums * x.scale / 35 / out.scale, out, 31)
    mean = Mean(**stored(out), multipliers=(multiplier,), shift=shift, axes=(2, 3), keepdims=0, terms=35)
    assert (mean.reference(Operands([codes], [x])).astype(int) - 128).tolist() == [[-91, -60, -36, 5]]


def test_the_bias_comes_from_its_codes():
    """compile/requant.py, conv_table."""
    weight_scales = np.array([0.0031, 0.00213, 0.0101, 0.00047], np.float32)
    codes = np.array([1234, -77, 1, -250001], np.int32)
    in_scale, out_scale = float(np.float32(0.0173)), float(np.float32(0.0402))
    bias, mult = nna_integer_parameters(in_scale, weight_scales, codes, out_scale, -20 + 128, 8)
    assert bias.tolist() == [-53526, -85406, -17936, -1385628]
    assert mult.tolist() == [2998, 4364, 920, 19776]
