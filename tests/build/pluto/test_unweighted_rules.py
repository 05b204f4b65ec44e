import numpy as np

from stages.build.pluto.qdq_graph import QdqParams
from stages.build.pluto.unweighted_rules import fixed_point_shift, repeats_pixels


def qparams(scale, zero_point=0):
    return QdqParams(np.float32(scale), np.int8(zero_point), 1)


def test_shift_of_a_sum():
    """Scales 1, 1 -> 1 add exactly at the first shift; halves tie: 0.5 goes to the even code, in integers up."""
    assert fixed_point_shift(qparams(1), qparams(1), qparams(1)) == 8
    assert fixed_point_shift(qparams(0.5), qparams(0.5), qparams(1)) is None
    assert fixed_point_shift(qparams(0.0173, -128), qparams(0.0311, 4), qparams(0.0402, -20)) is not None


def test_resize_that_repeats_pixels():
    """ONNX's formulas: asymmetric gives x/2, whose floor repeats; half_pixel x/2 - 0.25, which rounds to x // 2."""
    good = {("asymmetric", "floor"), ("asymmetric", "round_prefer_floor"), ("half_pixel", "round_prefer_floor")}
    bad = {("asymmetric", "ceil"), ("asymmetric", "round_prefer_ceil"), ("half_pixel", "floor"), ("tf_crop", "floor")}
    assert all(repeats_pixels(*pair) for pair in good)
    assert not any(repeats_pixels(*pair) for pair in bad)
