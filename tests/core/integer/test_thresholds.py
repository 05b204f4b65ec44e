"""Thresholds of a calibration table."""

import numpy as np
import pytest

from stages.core.integer.quant_params import QuantParams
from stages.core.integer.thresholds import converter_scale, settled_scale, threshold


@pytest.mark.parametrize(
    ("scale", "zero_point", "expected"),
    [
        (1 / 255, 0, 1.0),  # not 1.0000001, as 255 times the float32 number would print
        (6 / 255, 0, 6.0),
        (1 / 128, 128, 0.992188),  # 127 / 128 = 0.9921875, which six digits give back in float32
        (np.float32(45.8537102) / 127, 128, 45.85371),
    ],
)
def test_the_shortest_number_that_gives_the_scale(scale, zero_point, expected):
    single = float(np.float32(scale))
    found = threshold(single, zero_point)
    assert found == pytest.approx(expected, rel=1e-6)
    most = 127 if zero_point else 255
    assert np.float32(found / most) == np.float32(single)
    assert len(str(found).partition(".")[2]) <= 7


def test_the_converter_divides_the_number_of_the_table():
    assert converter_scale(QuantParams(8, float(np.float32(6 / 255)), 0)) == 6 / 255
    assert converter_scale(QuantParams(8, float(np.float32(1 / 127)), 128)) == 1 / 127


@pytest.mark.parametrize("scale", [3e-9, 1.2345678e-5, 0.0123456789, 0.9999999, 12.3456789, 54321.987])
def test_a_settled_scale_stays(scale):
    for zero_point, most in ((0, 255), (128, 127)):
        settled = settled_scale(scale, zero_point)
        number = threshold(settled, zero_point)
        assert settled == float(np.float32(number / most)) == settled_scale(settled, zero_point)
        assert settled == pytest.approx(scale, rel=1e-6, abs=1e-7 / most)
