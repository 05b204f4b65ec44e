import numpy as np
import pytest

from stages.quantize.operators.interpolation import interpolation, weight_bits
from tests.export.graphs import graph_model, node, run_onnx

WAYS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
SIZES = [(1, 1), (1, 5), (2, 4), (3, 7), (7, 3), (5, 1), (8, 5), (13, 6), (6, 13), (4, 4), (16, 2), (2, 33)]


def weights_of_onnx_runtime(before, after, way, scale=None):
    """Float weights [after, before]: what ONNX Runtime makes of one lit pixel at a time."""
    lit = np.eye(before, dtype=np.float32).reshape(1, before, 1, before)
    attributes = {"mode": "linear", "coordinate_transformation_mode": way}
    if scale is None:
        takes, constants = ["x", "", "", "sizes"], {"sizes": np.array([1, before, 1, after])}
    else:
        takes, constants = ["x", "", "scales"], {"scales": np.float32([1, 1, 1, scale])}
    resize = node("Resize", takes, ["y"], "n", **attributes)
    (actual,) = run_onnx(graph_model([resize], {"x": lit.shape}, ["y"], constants), {"x": lit})
    return actual[0, :, 0].T


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_weights_are_those_of_onnx_runtime(before, after, way):
    actual = interpolation(before, after, way, 7) / 128
    assert np.abs(actual - weights_of_onnx_runtime(before, after, way)).max() <= 1 / 256 + 1e-6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("before", "scale"), [(5, 1.5), (7, 2.3), (9, 0.4), (3, 3.0), (10, 0.55)])
def test_a_given_scale_places_the_pixels(before, scale, way):
    after = int(before * scale)
    actual = interpolation(before, after, way, 7, float(np.float32(scale))) / 128
    assert np.abs(actual - weights_of_onnx_runtime(before, after, way, scale)).max() <= 1 / 256 + 1e-6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_each_pixel_is_a_whole_one_made_of_two_neighbours_at_most(before, after, way):
    actual = interpolation(before, after, way, 7)
    assert actual.dtype == np.int32
    assert actual.shape == (after, before)
    np.testing.assert_array_equal(actual.sum(axis=1), 128)
    assert actual.min() >= 0
    for row in actual:
        places = np.flatnonzero(row)
        assert len(places) <= 2
        assert places[-1] - places[0] <= 1


def test_doubling_golden():
    """Half pixels: 1/4 before and behind each pixel; the edges are extended."""
    assert interpolation(2, 4, "half_pixel", 7).tolist() == [[128, 0], [96, 32], [32, 96], [0, 128]]


def test_align_corners_golden():
    assert interpolation(2, 3, "align_corners", 7).tolist() == [[128, 0], [64, 64], [0, 128]]


def test_asymmetric_golden():
    assert interpolation(2, 4, "asymmetric", 7).tolist() == [[128, 0], [64, 64], [0, 128], [0, 128]]


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(interpolation(5, 5, "half_pixel", 7), 128 * np.eye(5))


def test_wide_features_have_finer_weights():
    assert [weight_bits(bits) for bits in (4, 8, 10, 16)] == [7, 7, 11, 11]
    expected = weights_of_onnx_runtime(6, 13, "half_pixel")
    assert np.abs(interpolation(6, 13, "half_pixel", 11) / 2048 - expected).max() <= 1 / 4096 + 1e-6
