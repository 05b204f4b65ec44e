from stages.build.pluto.unweighted_rules import repeats_pixels


def test_resize_that_repeats_pixels():
    """ONNX's formulas: asymmetric gives x/2, whose floor repeats; half_pixel x/2 - 0.25, which rounds to x // 2."""
    good = {("asymmetric", "floor"), ("asymmetric", "round_prefer_floor"), ("half_pixel", "round_prefer_floor")}
    bad = {("asymmetric", "ceil"), ("asymmetric", "round_prefer_ceil"), ("half_pixel", "floor"), ("tf_crop", "floor")}
    assert all(repeats_pixels(*pair) for pair in good)
    assert not any(repeats_pixels(*pair) for pair in bad)
